"""What Kafka refused, back into a spool, from where the relay sends it once more."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from weir_streams.errors import ResendingError
from weir_streams.events import EncodedEvent
from weir_streams.kafka.aside import RefusedFile, RefusedRecord
from weir_streams.locking import DirectoryLock
from weir_streams.payloads import SPOOLED_TOPICS
from weir_streams.spool import Spool

_SPOOL_ID_DIGITS: Final = 12
_LINE: Final = msgspec.json.Decoder(RefusedRecord)


class Resent(msgspec.Struct):
    """How many events went into the spool, and how many lines are no events and stay in the file."""

    events: int = 0
    unreadable: int = 0


def resend(file: RefusedFile, open_spool: Callable[[], Spool]) -> Resent:
    """Put everything that was set aside into a spool, and remove it from the file once it is durable there.

    Killed anywhere it loses nothing: what it had put into the spool is put there again by the next call, with
    the same ids and numbers, by which whoever stores or sums it knows it. Blocks.

    Args:
        file: What was set aside.
        open_spool: Opens one that nobody else writes to.

    Raises:
        ResendingError: Another process does this just now.
        SpoolError, OSError: No room, or the disk refused; the file is as it was.
    """
    resent = Resent()
    if not file.path.parent.exists():
        return resent
    lock = DirectoryLock.take(file.path.parent)
    if lock is None:
        raise ResendingError(f"another process sends {file.path} again; wait until it is done")
    try:
        # What a call that was killed had taken, and then what came since.
        for _ in range(2 if file.is_taken else 1):
            taken = file.take()
            if taken is not None:
                _resend(taken, file, open_spool, resent)
    finally:
        lock.release()
    return resent


def _resend(taken: Path, file: RefusedFile, open_spool: Callable[[], Spool], resent: Resent) -> None:
    unreadable: list[bytes] = []
    with closing(open_spool()) as spool, taken.open("rb") as lines:
        for line in lines:
            event = _event(line)
            if event is None:
                unreadable.append(line.rstrip(b"\n"))
                continue
            spool.append_event(partial(_as_it_is, event))
            resent.events += 1
    if unreadable:
        file.append_lines(unreadable)
        resent.unreadable += len(unreadable)
    file.done()


def _as_it_is(event: EncodedEvent, _spool_id: str, _seq: int) -> EncodedEvent:
    return event


def _event(line: bytes) -> EncodedEvent | None:
    """The event of a line, numbered anew; None where it is none."""
    try:
        record = _LINE.decode(line)
        value = msgspec.json.decode(base64.b64decode(record.value_base64), type=dict[str, Any])
        key = base64.b64decode(record.key_base64)
    except ValueError:
        return None
    if record.topic not in SPOOLED_TOPICS:
        return None
    value["spool_id"] = _own_spool_id(record)
    return EncodedEvent(record.topic, key, msgspec.json.encode(value))


def _own_spool_id(record: RefusedRecord) -> str:
    """An id that is this event's alone, and the same each time.

    Whoever sums has seen higher numbers of the spool it came from, and would take it for a repeated one.
    """
    place = f"{record.spool_id}/{record.seq}".encode()
    return hashlib.sha256(place).hexdigest()[:_SPOOL_ID_DIGITS]
