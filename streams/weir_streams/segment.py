"""The segment format, version 2: how records stand in a file. docs/spool.md is the specification.

A segment is a header and then records, one behind the other, in a file whose rest is zeros. Everything about
a record is under its checksum, so a torn, half visible or rotten record is never taken for a whole one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from weir_streams.calls import CallRecord, encode_call
from weir_streams.errors import SpoolFormatError
from weir_streams.events import (
    ANALYTICS_TOPIC,
    BUDGET_USAGE_TOPIC,
    DEAD_LETTER_TOPIC,
    PROXY_LOG_TOPIC,
    EncodedEvent,
)
from weir_streams.payloads import EDGE_PAYLOAD_RESULT_TOPIC, EDGE_PAYLOAD_TOPIC
from weir_streams.stored_calls import CALL_TOPICS, StoredEvent, decode_call

VERSION: Final = 2
_READABLE: Final = (1, 2)
SEGMENT_HEADER_BYTES: Final = 64
RECORD_HEADER_BYTES: Final = 32
MAX_RECORD_BYTES: Final = 16 * 1024 * 1024

FAMILY: Final = 1
SEAL: Final = 2
GAP: Final = 3
CALL: Final = 4
WITH_EVENTS: Final = frozenset({FAMILY, CALL})

# 0xF5 and 0xFF occur in no UTF-8 text, so nothing inside a JSON value can look like the start of a record.
RECORD_MAGIC: Final = b"\xf5WR\xff"
_SEGMENT_MAGIC: Final = b"\x89WEIRSEG"

# Numbers are part of the format: never reused, only added to.
TOPIC_NUMBERS: Final = {
    PROXY_LOG_TOPIC: 1,
    ANALYTICS_TOPIC: 2,
    BUDGET_USAGE_TOPIC: 3,
    EDGE_PAYLOAD_TOPIC: 4,
    EDGE_PAYLOAD_RESULT_TOPIC: 5,
    DEAD_LETTER_TOPIC: 6,
}
_TOPIC_NAMES: Final = {number: topic for topic, number in TOPIC_NUMBERS.items()}

_NAME: Final = re.compile(r"([0-9]{20})\.seg", re.ASCII)
_SEGMENT_HEADER: Final = struct.Struct("<8sHH12sQQ")
_PREFIX: Final = struct.Struct("<4sI")
_FIELDS: Final = struct.Struct("<IBBHQQ")
_RECORD_HEADER: Final = struct.Struct("<4sIIBBHQQ")
_EVENT: Final = struct.Struct("<BxHI")
_CALL: Final = struct.Struct("<HI")
_CHECKSUM: Final = struct.Struct("<I")
_ZEROS: Final = bytes(RECORD_HEADER_BYTES)
_SKIMMED: Final = tuple(EncodedEvent(topic, b"", b"") for topic in CALL_TOPICS)


class SegmentHeader(NamedTuple):
    """What the first 64 bytes say."""

    spool_id: str
    base_seq: int
    created_us: int


class Record(NamedTuple):
    """One intact record of ``size`` bytes. The event at position i has sequence number ``seq + i``."""

    kind: int
    seq: int
    wall_us: int
    size: int
    events: tuple[EncodedEvent | StoredEvent, ...]

    @property
    def next_seq(self) -> int:
        """The lowest sequence number that a later record can have."""
        return self.seq + len(self.events)


class RecordHeader(NamedTuple):
    """What a record says of itself before its events; not checked against its checksum."""

    kind: int
    seq: int
    wall_us: int
    size: int
    events: int

    @property
    def next_seq(self) -> int:
        """The lowest sequence number that a later record can have."""
        return self.seq + self.events


class Unfinished(NamedTuple):
    """The buffer ends before the record does; ``needed`` bytes from its start hold it all."""

    needed: int


class Blank(NamedTuple):
    """Zeros: nothing has been written here so far."""


class Unreadable(NamedTuple):
    """Bytes that are not (or not yet) a record."""

    reason: str


def segment_name(base_seq: int) -> str:
    """The file name of the segment whose records start at ``base_seq``."""
    return f"{base_seq:020d}.seg"


def base_of(name: str) -> int | None:
    """The first sequence number of a segment, from its file name; None when it is not a segment's."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def encode_segment_header(header: SegmentHeader) -> bytes:
    """The first bytes of a segment."""
    packed = _SEGMENT_HEADER.pack(
        _SEGMENT_MAGIC,
        VERSION,
        SEGMENT_HEADER_BYTES,
        header.spool_id.encode(),
        header.base_seq,
        header.created_us,
    )
    return packed.ljust(SEGMENT_HEADER_BYTES - _CHECKSUM.size, b"\0") + _CHECKSUM.pack(crc32(packed))


def decode_segment_header(data: bytes) -> SegmentHeader | None:
    """Read a segment's first bytes; None when they are damaged (name and directory say the same).

    Raises:
        SpoolFormatError: The segment is intact but of a version that this release does not read.
    """
    if len(data) < SEGMENT_HEADER_BYTES or not data.startswith(_SEGMENT_MAGIC):
        return None
    (checksum,) = _CHECKSUM.unpack_from(data, SEGMENT_HEADER_BYTES - _CHECKSUM.size)
    if checksum != crc32(data[: _SEGMENT_HEADER.size]):
        return None
    _, version, _, spool_id, base_seq, created_us = _SEGMENT_HEADER.unpack_from(data)
    if version not in _READABLE:
        raise SpoolFormatError(
            f"a segment of spool {spool_id.decode()} has format version {version}, "
            f"this release reads up to {VERSION}; read it with the release that wrote it"
        )
    return SegmentHeader(spool_id.decode(), base_seq, created_us)


def encode_record(kind: int, seq: int, wall_us: int, events: Sequence[EncodedEvent] = ()) -> bytes:
    """One record as it stands in the file, checksum and all."""
    parts = [_EVENT.pack(TOPIC_NUMBERS[event.topic], len(event.key), len(event.value)) for event in events]
    for event in events:
        parts.append(event.key)
        parts.append(event.value)
    return _framed(kind, len(events), seq, wall_us, b"".join(parts))


def encode_call_record(call: CallRecord, spool_id: str, seq: int, wall_us: int) -> bytes:
    """A finished call as one record, from which its events are made when it is read.

    Raises:
        TypeError, ValueError, OverflowError, RecursionError: A field holds what JSON cannot.
    """
    key, metadata, value = encode_call(call, spool_id)
    head = b"".join((_CALL.pack(len(key), len(metadata)), key, metadata))
    return _framed(CALL, len(call), seq, wall_us, head, value)


def encode_gap(size: int, seq: int, wall_us: int) -> bytes:
    """The header of a record without events that stands for ``size`` bytes where records were lost.

    Only the header is under its checksum: what is left of the lost records stays where it is.
    """
    fields = _FIELDS.pack(size - RECORD_HEADER_BYTES, GAP, 0, 0, seq, wall_us)
    return _PREFIX.pack(RECORD_MAGIC, crc32(fields)) + fields


def decode_record(
    data: bytes, at: int = 0, *, skim: bool = False
) -> Record | Unfinished | Blank | Unreadable:
    """Read the record at ``at``; never raises, whatever the bytes are.

    Args:
        skim: Of a call's events nothing is wanted but their topics, and its body is not looked into.
    """
    if len(data) - at < RECORD_HEADER_BYTES:
        return Unfinished(RECORD_HEADER_BYTES)
    magic, checksum, length, kind, _, count, seq, wall_us = _RECORD_HEADER.unpack_from(data, at)
    if magic != RECORD_MAGIC:
        if data.startswith(_ZEROS, at):
            return Blank()
        return Unreadable("no record starts here")
    size = RECORD_HEADER_BYTES + length
    if kind == GAP:
        if crc32(data[at + _PREFIX.size : at + RECORD_HEADER_BYTES]) != checksum:
            return Unreadable("the checksum does not match")
        return Record(GAP, seq, wall_us, size, ())
    if size > MAX_RECORD_BYTES:
        return Unreadable(f"a record of {size} bytes cannot be")
    if len(data) - at < size:
        return Unfinished(size)
    if crc32(memoryview(data)[at + _PREFIX.size : at + size]) != checksum:
        return Unreadable("the checksum does not match")
    start, end = at + RECORD_HEADER_BYTES, at + size
    events: tuple[EncodedEvent | StoredEvent, ...] | None = ()
    if kind == CALL and skim:
        events = _SKIMMED[:count]
    elif kind == CALL:
        events = _decode_call(data, start, end, seq, count)
    elif kind == FAMILY:
        events = _decode_events(data, start, end, count)
    if events is None:
        return Unreadable("its body is not what its kind and its length say")
    return Record(kind, seq, wall_us, size, events)


def decode_record_header(data: bytes) -> RecordHeader | None:
    """Read the first ``RECORD_HEADER_BYTES`` of a record; None when no record begins with these bytes."""
    if len(data) < RECORD_HEADER_BYTES or not data.startswith(RECORD_MAGIC):
        return None
    _, _, length, kind, _, count, seq, wall_us = _RECORD_HEADER.unpack_from(data)
    return RecordHeader(kind, seq, wall_us, RECORD_HEADER_BYTES + length, count)


def _framed(kind: int, count: int, seq: int, wall_us: int, head: bytes, rest: bytes = b"") -> bytes:
    """A record whose body comes in two pieces: the longer one is copied only once."""
    fields = _FIELDS.pack(len(head) + len(rest), kind, 0, count, seq, wall_us)
    checksum = crc32(rest, crc32(head, crc32(fields)))
    return b"".join((_PREFIX.pack(RECORD_MAGIC, checksum), fields, head, rest))


def _decode_call(data: bytes, start: int, end: int, seq: int, count: int) -> tuple[StoredEvent, ...] | None:
    if end - start < _CALL.size or not 0 < count <= len(CALL_TOPICS):
        return None
    key_length, metadata_length = _CALL.unpack_from(data, start)
    key_at = start + _CALL.size
    metadata_at = key_at + key_length
    value_at = metadata_at + metadata_length
    try:
        return decode_call(
            data[key_at:metadata_at], data[metadata_at:value_at], data[value_at:end], seq, count
        )
    except (msgspec.MsgspecError, RecursionError, TypeError, ValueError, LookupError):
        return None


def _decode_events(data: bytes, start: int, end: int, count: int) -> tuple[EncodedEvent, ...] | None:
    cursor = start + count * _EVENT.size
    if cursor > end:
        return None
    events = []
    for position in range(count):
        number, key_length, value_length = _EVENT.unpack_from(data, start + position * _EVENT.size)
        # A newer release may write topics that this one does not know; they still count.
        topic = _TOPIC_NAMES.get(number) or f"unknown.{number}"
        value_at = cursor + key_length
        cursor = value_at + value_length
        if cursor > end:
            return None
        events.append(EncodedEvent(topic, data[value_at - key_length : value_at], data[value_at:cursor]))
    return tuple(events) if cursor == end else None
