"""The record format."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.streams.support import SPOOL_ID, family_record

from weir_streams.admission import EventIds
from weir_streams.calls import CallRecord
from weir_streams.errors import SpoolFormatError
from weir_streams.events import EVENT_TOPICS, EncodedEvent
from weir_streams.segment import (
    FAMILY,
    RECORD_HEADER_BYTES,
    RECORD_MAGIC,
    SEAL,
    Blank,
    Record,
    SegmentHeader,
    Unfinished,
    Unreadable,
    base_of,
    decode_record,
    decode_segment_header,
    encode_call_record,
    encode_gap,
    encode_record,
    encode_segment_header,
    segment_name,
)

HEADER = SegmentHeader(SPOOL_ID, 77, 1_790_000_000_000_000)
SEQS = st.integers(1, 2**63)
EVENTS = st.lists(
    st.builds(EncodedEvent, st.sampled_from(EVENT_TOPICS), st.binary(max_size=20), st.binary(max_size=300)),
    max_size=4,
)


@given(seq=SEQS, wall_us=st.integers(0, 2**62), events=EVENTS, before=st.binary(max_size=40))
def test_a_record_comes_back_as_it_was_written(
    seq: int, wall_us: int, events: list[EncodedEvent], before: bytes
) -> None:
    data = before + encode_record(FAMILY, seq, wall_us, events)
    record = decode_record(data, len(before))
    assert record == Record(FAMILY, seq, wall_us, len(data) - len(before), tuple(events))


@given(seq=SEQS, events=EVENTS, data=st.data())
def test_no_flipped_bit_goes_unnoticed(seq: int, events: list[EncodedEvent], data: st.DataObject) -> None:
    record = bytearray(encode_record(FAMILY, seq, 5, events))
    bit = data.draw(st.integers(0, len(record) * 8 - 1))
    record[bit // 8] ^= 1 << bit % 8
    assert not isinstance(decode_record(bytes(record)), Record)


@given(events=EVENTS, data=st.data())
def test_no_start_of_a_record_is_taken_for_a_record(events: list[EncodedEvent], data: st.DataObject) -> None:
    record = encode_record(FAMILY, 9, 5, events)
    seen = record[: data.draw(st.integers(0, len(record) - 1))]
    assert isinstance(decode_record(seen), Unfinished)
    padded = decode_record(seen.ljust(len(record) + 64, b"\0"))
    # The bytes that are missing may have been zeros.
    assert not isinstance(padded, Record) or record.rstrip(b"\0") == seen.rstrip(b"\0")


@given(st.binary(max_size=200))
def test_rubbish_is_never_a_record_and_never_an_error(data: bytes) -> None:
    assert not isinstance(decode_record(data), Record)


def test_zeros_are_the_end_so_far() -> None:
    assert decode_record(bytes(100)) == Blank()


def test_a_record_that_cannot_be_is_not_waited_for() -> None:
    record = bytearray(encode_record(FAMILY, 9, 5))
    record[8:12] = b"\xff\xff\xff\x7f"
    assert isinstance(decode_record(bytes(record)), Unreadable)


@given(st.text())
def test_no_text_in_an_event_can_look_like_the_start_of_a_record(text: str) -> None:
    assert RECORD_MAGIC not in msgspec.json.encode(text.encode("utf-8", "replace").decode())


def test_an_event_of_an_unknown_topic_keeps_its_place() -> None:
    record = bytearray(family_record(1, seq=10))
    fields_at = RECORD_HEADER_BYTES
    record[fields_at] = 200
    resealed = decode_record(_with_checksum(record))
    assert isinstance(resealed, Record)
    assert [event.topic for event in resealed.events] == ["unknown.200", *EVENT_TOPICS[1:]]


def test_a_kind_of_record_from_the_future_is_passed_over() -> None:
    record = decode_record(encode_record(99, 10, 5))
    assert isinstance(record, Record)
    assert (record.kind, record.events, record.next_seq) == (99, (), 10)


def test_a_seal_takes_no_number() -> None:
    record = decode_record(encode_record(SEAL, 10, 5))
    assert isinstance(record, Record)
    assert record.next_seq == 10


def test_a_segment_header_comes_back_as_it_was_written() -> None:
    assert decode_segment_header(encode_segment_header(HEADER)) == HEADER


@given(st.integers(0, 64 * 8 - 1))
def test_a_damaged_segment_header_is_none(bit: int) -> None:
    data = bytearray(encode_segment_header(HEADER))
    data[bit // 8] ^= 1 << bit % 8
    assert decode_segment_header(bytes(data)) in (None, HEADER)


def test_a_newer_version_is_refused_by_name() -> None:
    data = bytearray(encode_segment_header(HEADER))
    data[8] = 3
    data[-4:] = zlib.crc32(bytes(data[:40])).to_bytes(4, "little")
    with pytest.raises(SpoolFormatError, match="version 3"):
        decode_segment_header(bytes(data))


def test_names_sort_as_their_numbers_do() -> None:
    names = [segment_name(base) for base in (1, 99, 2**24, 2**53)]
    assert names == sorted(names)
    assert [base_of(name) for name in names] == [1, 99, 2**24, 2**53]


@pytest.mark.parametrize("name", ["LOCK", "1.seg", "00000000000000000001.seg.new", "inflight"])
def test_other_files_are_no_segments(name: str) -> None:
    assert base_of(name) is None


# Files written by this release must be read by the next: change these only with a new version.
GOLDEN_HEADERS = {
    1: "895745495253454701004000303132333435363738396162010000000000000000e025dafe5b0600"
    "0000000000000000000000000000000000000000bcd29450",
    2: "895745495253454702004000303132333435363738396162010000000000000000e025dafe5b0600"
    "000000000000000000000000000000000000000003da8b99",
}
GOLDEN_CALL = (
    "f55752ffc5d5261fbf00000004000200070000000000000004e025dafe5b0600"
    "010007000000377b226b223a317d"
    + (
        b'{"event_ids":["a","b","c"],"started_us":5,"analysed":true,"spool_id":"0123456789ab",'
        b'"request_id":"r","app_id":7,"method":"GET","path":"/","response_code":200,"outcome":"served"}'
    ).hex()
)
GOLDEN_FAMILY = (
    "f55752ff9af369f61f00000001000200070000000000000001e025dafe5b0600"
    "01000100070000000300050002000000377b2261223a317d6c6c6d3a337b7d"
)
GOLDEN_SEAL = "f55752ff26e7df310000000002000000090000000000000002e025dafe5b0600"
GOLDEN_GAP = "f55752ff14b8c8d74400000003000000090000000000000003e025dafe5b0600"


def test_the_bytes_of_version_2_stay_what_they_are() -> None:
    events = [EncodedEvent(EVENT_TOPICS[0], b"7", b'{"a":1}'), EncodedEvent(EVENT_TOPICS[2], b"llm:3", b"{}")]
    us = 1_790_000_000_000_000
    assert encode_segment_header(SegmentHeader(SPOOL_ID, 1, us)).hex() == GOLDEN_HEADERS[2]
    assert encode_record(FAMILY, 7, us + 1, events).hex() == GOLDEN_FAMILY
    assert encode_record(SEAL, 9, us + 2).hex() == GOLDEN_SEAL
    assert encode_gap(100, 9, us + 3).hex() == GOLDEN_GAP
    call = CallRecord(
        event_ids=EventIds("a", "b", "c"),
        started_us=5,
        analysed=True,
        request_id="r",
        method="GET",
        path="/",
        response_code=200,
        outcome="served",
        app_id=7,
        metadata={"k": 1},
    )
    assert encode_call_record(call, SPOOL_ID, 7, us + 4).hex() == GOLDEN_CALL


@pytest.mark.parametrize("version", GOLDEN_HEADERS)
def test_segments_of_every_version_so_far_are_read(version: int) -> None:
    header = decode_segment_header(bytes.fromhex(GOLDEN_HEADERS[version]))
    assert header == SegmentHeader(SPOOL_ID, 1, 1_790_000_000_000_000)


def _with_checksum(record: bytearray) -> bytes:
    record[4:8] = zlib.crc32(bytes(record[8:])).to_bytes(4, "little")
    return bytes(record)
