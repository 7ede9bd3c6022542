"""A finished call in the spool, and the events that readers make of it."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.streams.support import (
    SPOOL_ID,
    STARTED_US,
    admission,
    event_ids,
    finished_call,
    open_spool,
    read_all,
    values_of,
)

from weir_core.clock import rfc3339
from weir_streams.calls import CallRecord
from weir_streams.events import EVENT_TOPICS, Attempt
from weir_streams.home import spool_directories
from weir_streams.segment import (
    CALL,
    FAMILY,
    Record,
    Unreadable,
    decode_record,
    encode_call_record,
    encode_record,
)
from weir_streams.settings import MIB, SpoolSettings
from weir_streams.spool import MAX_FAMILY_BYTES

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
OPTIONAL = st.none() | TEXTS
CALLS = st.builds(
    finished_call,
    analysed=st.just(True),
    billed=st.booleans(),
    client_request_id=OPTIONAL,
    user_id=OPTIONAL,
    app_id=st.none() | st.integers(1, 2**31),
    model_name=OPTIONAL,
    answered_by=OPTIONAL,
    path=TEXTS,
    outcome=st.sampled_from(["served", "blocked", "gateway_error"]),
    plugin_ms=st.dictionaries(TEXTS, st.floats(0, 1e6), max_size=2),
    request_body=OPTIONAL,
    attempts=st.lists(st.builds(Attempt, llm_id=st.integers(1, 9), error=OPTIONAL), max_size=2),
    metadata=st.dictionaries(TEXTS, st.none() | st.integers() | TEXTS | st.lists(TEXTS), max_size=3),
    total_tokens=st.integers(0, 2**40),
    finish_reasons=st.lists(TEXTS, max_size=2).map(tuple),
)


def stored(call: CallRecord, seq: int = 10) -> Record:
    record = decode_record(encode_call_record(call, SPOOL_ID, seq, STARTED_US))
    assert isinstance(record, Record)
    return record


@given(call=CALLS)
def test_the_events_of_a_stored_call_are_those_of_the_call(call: CallRecord) -> None:
    made = call.events()
    for number, event in enumerate(made, 10):
        event.spool_id, event.spool_seq = SPOOL_ID, number
    found = stored(call)
    assert values_of(found.events) == [msgspec.json.decode(msgspec.json.encode(event)) for event in made]
    assert [event.topic for event in found.events] == list(EVENT_TOPICS[: len(made)])
    assert found.next_seq == 10 + len(made)


def test_each_event_says_what_it_is_there_to_say() -> None:
    call = finished_call(answered_by="gpt-4o-2024", model_name="gpt-4o", finish_reasons=("stop",))
    log, analytics, budget = values_of(stored(call).events)
    ids = event_ids()
    assert (log["event_id"], analytics["event_id"], budget["event_id"]) == tuple(ids)
    assert {value["timestamp"] for value in (log, analytics, budget)} == {rfc3339(STARTED_US)}
    assert (log["model_name"], analytics["model_name"]) == ("gpt-4o", "gpt-4o-2024")
    assert (analytics["cost"], budget["cost"], budget["tokens_used"]) == ("0.5", "0.5", 5)
    assert (analytics["finish_reasons"], budget["period_id"]) == (["stop"], "2026-09")


@pytest.mark.parametrize(
    ("analysed", "billed", "topics"), [(False, False, 1), (True, False, 2), (True, True, 3)]
)
def test_a_call_leaves_only_the_events_that_it_gave_rise_to(
    analysed: bool, billed: bool, topics: int
) -> None:
    found = stored(finished_call(analysed=analysed, billed=billed))
    assert [event.topic for event in found.events] == list(EVENT_TOPICS[:topics])


@pytest.mark.parametrize(("app_id", "key"), [(7, b"7"), (None, b"llm:3")])
def test_all_of_them_have_the_key_of_their_topics(app_id: int | None, key: bytes) -> None:
    assert {event.key for event in stored(finished_call(app_id=app_id)).events} == {key}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"deeper": value}
    return value


def test_metadata_are_no_deeper_for_a_reader_than_they_were_for_the_writer() -> None:
    depth = sys.getrecursionlimit() - 200
    data = encode_call_record(finished_call(metadata=nested(depth)), SPOOL_ID, 10, STARTED_US)

    def read_below(frames: int) -> bytes:
        if frames:
            return read_below(frames - 1)
        record = decode_record(data)
        assert isinstance(record, Record)
        return record.events[0].value

    assert read_below(400).count(b"deeper") == depth


@pytest.mark.parametrize(
    "changes", [{"user_id": 12}, {"response_code": "teapot"}, {"plugin_ms": {"a": "slow"}}]
)
def test_a_field_of_another_type_is_passed_on_and_loses_nothing(changes: dict[str, Any]) -> None:
    log, *others = values_of(stored(finished_call(**changes)).events)
    assert len(others) == 2
    assert changes.items() <= (log | {"plugin_ms": log["latency_ms"]["plugins"]}).items()


@pytest.mark.parametrize("body", [b"", b"\0" * 6, b"\xff" * 40, b"\0\0\0\0\0\0{}", b"\0\0\0\0\0\0[1]"])
def test_what_is_no_call_is_unreadable(body: bytes) -> None:
    empty = bytearray(encode_record(CALL, 10, STARTED_US))
    assert isinstance(decode_record(with_body(empty, body)), Unreadable)


def with_body(record: bytearray, body: bytes) -> bytes:
    record[8:12] = len(body).to_bytes(4, "little")
    record[14:16] = (3).to_bytes(2, "little")
    record += body
    record[4:8] = zlib.crc32(bytes(record[8:])).to_bytes(4, "little")
    return bytes(record)


@pytest.mark.parametrize(("beyond", "kind"), [(0, CALL), (1, FAMILY)])
def test_no_event_of_the_largest_call_is_larger_than_a_mebibyte(
    tmp_path: Path, beyond: int, kind: int
) -> None:
    spool = open_spool(tmp_path, SpoolSettings(segment_bytes=8 * MIB))
    slot = spool.admit(admission())
    call = finished_call(1, slot.event_ids, request_body="")
    room = MAX_FAMILY_BYTES - len(encode_call_record(call, spool.id, 1, STARTED_US))
    call.request_body = "x" * (room + beyond)
    spool.append(slot, call)
    spool.close()
    (directory,) = spool_directories(tmp_path)
    (record,) = read_all(directory)
    assert record.kind == kind
    assert len(record.events[0].value) <= MIB


def test_who_only_counts_learns_the_topics_and_makes_no_events() -> None:
    data = encode_call_record(finished_call(analysed=True, billed=False), SPOOL_ID, 10, STARTED_US)
    record = decode_record(data, skim=True)
    assert isinstance(record, Record)
    assert [(event.topic, event.value) for event in record.events] == [
        (topic, b"") for topic in EVENT_TOPICS[:2]
    ]
    assert record.next_seq == 12
