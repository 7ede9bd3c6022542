"""A revision out of a compacted topic: whole, the newest leader's, and only with the right keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from weir_core.objects import App, ConfigObject, Credential, Llm, ModelPrice, Plugin
from weir_core.secrets import KeyRing, Secret
from weir_core.snapshot import Snapshot
from weir_streams.config_records import MARKER, Assembly, ConfigRecord

KEY, OTHER_KEY = bytes(range(32)), bytes(32)

OBJECTS: tuple[ConfigObject, ...] = (
    Llm(id=1, name="one", slug="one", vendor="openai", api_endpoint="http://x", api_key=Secret("sk-hidden")),
    Plugin(id=10, name="guard", slug="guard", command="python://a:B", config={"token": "hidden"}),
    App(id=2, name="app", llm_ids=(1,)),
    App(id=10, name="later"),
    Credential(id=1, app_id=2, key_id="k", secret_hash=b"h"),
    ModelPrice(id=1, vendor="openai", model="*"),
)


def assembly(key: bytes = KEY, namespace: str = "") -> Assembly:
    return Assembly(KeyRing([key]), namespace)


def taken(records: Iterable[ConfigRecord], into: Assembly | None = None) -> Assembly:
    reader = into or assembly()
    for record in records:
        reader.take(record)
    return reader


def topic(*revisions: tuple[int, Iterable[ConfigObject]], epoch: int = 1) -> list[ConfigRecord]:
    """What one leader writes, revision after revision."""
    writer, written = assembly(), []
    for revision, objects in revisions:
        records = writer.changes(Snapshot(revision, objects), epoch)
        written += records
        taken(records, writer)
    return written


def compacted(records: Iterable[ConfigRecord]) -> list[ConfigRecord]:
    """The last record of each key, in the order of these, as after the brokers' cleaning."""
    records = list(records)
    last = {record.key: number for number, record in enumerate(records)}
    return [record for number, record in enumerate(records) if last[record.key] == number]


def closed(reader: Assembly) -> tuple[int, tuple[ConfigObject, ...]] | None:
    return None if reader.closed is None else (reader.closed.revision, reader.closed.objects)


def renamed(name: str) -> tuple[ConfigObject, ...]:
    return (*OBJECTS[:3], App(id=10, name=name), *OBJECTS[4:])


def test_a_revision_is_read_as_it_was_written_and_nothing_of_it_lies_open() -> None:
    records = topic((7, OBJECTS))
    assert closed(taken(records)) == (7, OBJECTS)
    assert len(records) == len(OBJECTS) + 1
    assert not any(b"hidden" in (record.value or b"") for record in records)


def test_only_what_changed_is_written_and_what_is_gone_leaves_a_tombstone() -> None:
    before, after = topic((1, OBJECTS)), topic((1, OBJECTS), (2, renamed("new")[1:]))
    assert [record.key for record in after[len(before) :]] == [b"app:10", b"llm:1", MARKER]
    assert after[len(before) + 1].value is None
    for records in (after, compacted(after)):
        assert closed(taken(records)) == (2, renamed("new")[1:])


def test_a_revision_without_its_marker_is_not_seen() -> None:
    records = topic((1, OBJECTS), (2, renamed("half")))
    reader = taken(records[:-1])
    assert closed(reader) == (1, OBJECTS)
    assert reader.reason == ""
    assert closed(taken(records[-1:], reader)) == (2, renamed("half"))


def test_a_marker_whose_objects_were_compacted_away_closes_nothing_until_the_next_one() -> None:
    whole = topic((1, OBJECTS), (2, renamed("half")), (3, renamed("whole")))
    half = compacted(whole[: len(OBJECTS) + 2])
    assert half[-1].key != MARKER
    reader = taken(half)
    assert closed(reader) is None
    assert "revision 1 is not complete" in reader.reason
    assert closed(taken(whole[len(OBJECTS) + 2 :], reader)) == (3, renamed("whole"))
    assert reader.reason == ""


def test_what_an_earlier_leader_writes_late_is_ignored() -> None:
    first = topic((1, OBJECTS))
    reader = taken(first)
    late = assembly()
    taken(first, late)
    second = assembly()
    taken(first, second)
    taken(second.changes(Snapshot(2, renamed("second leader's")), 2), reader)
    taken(late.changes(Snapshot(3, renamed("late")), 1), reader)
    assert closed(reader) == (2, renamed("second leader's"))


def test_half_a_revision_of_an_earlier_leader_is_forgotten_and_written_over_by_the_next() -> None:
    written = topic((1, OBJECTS), (2, [*renamed("half"), App(id=11, name="half")]))[:-1]
    leader = taken(written)
    written += leader.changes(Snapshot(3, OBJECTS), 2)
    for records in (written, compacted(written)):
        assert closed(taken(records)) == (3, OBJECTS)


def test_an_older_revision_of_the_same_leader_is_not_gone_back_to() -> None:
    reader = taken(topic((5, renamed("new"))))
    taken(topic((4, OBJECTS)), reader)
    assert closed(reader) == (5, renamed("new"))


@pytest.mark.parametrize("other", [{"key": OTHER_KEY}, {"namespace": "team"}])
def test_with_another_key_or_out_of_another_topic_nothing_is_read_and_the_reason_names_it(
    other: dict[str, Any],
) -> None:
    reader = taken(topic((1, OBJECTS)), assembly(**other))
    assert closed(reader) is None
    expected = "WEIR_ENCRYPTION_KEYS" if "key" in other else "was damaged or changed"
    assert expected in reader.reason


def test_a_damaged_object_or_one_in_another_ones_place_is_refused_by_name() -> None:
    records = topic((1, OBJECTS))
    at = [record.key for record in records].index(b"app:2")
    for value in (b"", b"nonsense", records[at + 1].value):
        damaged = list(records)
        damaged[at] = damaged[at]._replace(value=value)
        reader = taken(damaged)
        assert closed(reader) is None
        assert reader.reason.startswith("app:2 cannot be read")


def test_a_tombstone_that_nobody_of_us_wrote_takes_no_object_away() -> None:
    records = topic((1, OBJECTS))
    forged = [*records[:-1], ConfigRecord(b"plugin:10", None, 1), records[-1]]
    assert closed(taken(forged)) is None


def test_after_a_new_key_came_in_everything_is_sealed_with_it() -> None:
    old = topic((1, OBJECTS))
    leader = taken(old, Assembly(KeyRing([OTHER_KEY, KEY]), ""))
    renewed = leader.changes(Snapshot(1, OBJECTS), 2)
    assert closed(taken(compacted([*old, *renewed]), assembly(OTHER_KEY))) == (1, OBJECTS)


def test_what_cannot_be_read_any_more_is_written_anew_or_removed() -> None:
    leader = taken(topic((1, OBJECTS)), assembly(OTHER_KEY))
    anew = leader.changes(Snapshot(2, OBJECTS[1:]), 2)
    assert closed(taken([*topic((1, OBJECTS)), *anew], assembly(OTHER_KEY))) == (2, OBJECTS[1:])
