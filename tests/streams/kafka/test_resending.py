"""What Kafka refused: set aside, taken up again, and lost at no line in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.streams.support import all_events, family, open_spool

from weir_core.clock import SystemClock
from weir_streams.billed import Batch
from weir_streams.errors import ResendingError, SpoolError
from weir_streams.events import ANALYTICS_TOPIC, encode
from weir_streams.kafka.aside import RefusedFile
from weir_streams.kafka.outgoing import Unsendable
from weir_streams.kafka.resending import Resent, resend
from weir_streams.locking import DirectoryLock
from weir_streams.log import LogRecord, Partition
from weir_streams.spool import Spool

SPOOL_ID = "0123456789ab"


def set_aside(root: Path, *numbers: int) -> RefusedFile:
    """The analytics events of these requests, in the file."""
    file = RefusedFile(root, SystemClock())
    file.append([Unsendable(analytics(number), "a batch was refused: TooLarge") for number in numbers])
    return file


def analytics(number: int) -> LogRecord:
    event = family(number)[1]
    event.spool_id, event.spool_seq = SPOOL_ID, number
    encoded = encode(event)
    return LogRecord(Partition(ANALYTICS_TOPIC, SPOOL_ID), number, encoded.key, encoded.value)


def opener(root: Path) -> Callable[[], Spool]:
    return lambda: open_spool(root)


def numbers_in_spool(root: Path) -> list[int]:
    return [event["spool_seq"] for event in all_events(root)]


def test_what_was_set_aside_is_in_a_spool_again_and_gone_from_the_file(tmp_path: Path) -> None:
    file = set_aside(tmp_path, 3, 5)
    assert resend(file, opener(tmp_path)) == Resent(events=2)
    assert numbers_in_spool(tmp_path) == [3, 5]
    assert [event["event_id"] for event in all_events(tmp_path)] == ["analytics-3", "analytics-5"]
    assert file.size() == 0
    assert resend(file, opener(tmp_path)) == Resent()


def test_where_nothing_was_ever_refused_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert resend(RefusedFile(tmp_path, SystemClock()), opener(tmp_path)) == Resent()
    assert list(tmp_path.iterdir()) == []


def test_whoever_sums_counts_it_though_it_knows_higher_numbers_and_counts_it_once(tmp_path: Path) -> None:
    resend(set_aside(tmp_path, 3), opener(tmp_path))
    resend(set_aside(tmp_path, 3), opener(tmp_path))
    batch = Batch({})
    batch.take(analytics(9))
    place = Partition(ANALYTICS_TOPIC, SPOOL_ID)
    for offset, event in enumerate(all_events(tmp_path), 100):
        batch.take(LogRecord(place, offset, b"7", msgspec.json.encode(event)))
    assert len(batch.events) == 2


def test_a_call_that_was_killed_is_gone_on_with_before_what_came_since(tmp_path: Path) -> None:
    set_aside(tmp_path, 1).take()
    file = set_aside(tmp_path, 2)
    assert resend(file, opener(tmp_path)) == Resent(events=2)
    assert numbers_in_spool(tmp_path) == [1, 2]


def test_killed_before_the_file_is_gone_it_sends_the_same_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = set_aside(tmp_path, 1, 2)

    def killed(_: RefusedFile) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RefusedFile, "done", killed)
        with pytest.raises(KeyboardInterrupt):
            resend(file, opener(tmp_path))
    assert resend(file, opener(tmp_path)) == Resent(events=2)
    first, second, *again = all_events(tmp_path)
    assert again == [first, second]
    assert file.size() == 0


def test_a_disk_that_refuses_leaves_everything_in_the_file(tmp_path: Path) -> None:
    file = set_aside(tmp_path, 1, 2)
    kept = file.size()

    def full() -> Spool:
        raise SpoolError("no room")

    with pytest.raises(SpoolError):
        resend(file, full)
    assert file.size() == kept
    assert resend(file, opener(tmp_path)) == Resent(events=2)


def test_what_a_crash_left_of_a_line_spoils_no_other_and_stays(tmp_path: Path) -> None:
    file = set_aside(tmp_path, 1)
    with file.path.open("ab") as torn:
        torn.write(b'{"at": "2026')
    set_aside(tmp_path, 2)
    assert resend(file, opener(tmp_path)) == Resent(events=2, unreadable=1)
    assert file.path.read_bytes() == b'{"at": "2026\n'


def test_only_one_process_at_a_time_takes_up_the_file(tmp_path: Path) -> None:
    file = set_aside(tmp_path, 1)
    lock = DirectoryLock.take(file.path.parent)
    assert lock is not None
    with pytest.raises(ResendingError, match="another process"):
        resend(file, opener(tmp_path))
    lock.release()


def test_what_is_set_aside_while_the_file_is_taken_stands_in_a_new_one(tmp_path: Path) -> None:
    file = set_aside(tmp_path, 1)
    taken = file.take()
    assert taken is not None
    set_aside(tmp_path, 2)
    file.done()
    assert resend(file, opener(tmp_path)) == Resent(events=1)
    assert numbers_in_spool(tmp_path) == [2]
