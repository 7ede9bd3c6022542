"""What one consumer has read, another finds."""

from __future__ import annotations

from pathlib import Path

from tests.streams.support import KIB, SPOOL_ID, STARTED_US, family_record, request_ids

from weir_streams.pieces import Piece, Pieces
from weir_streams.reader import SpoolReader
from weir_streams.reports import Damage
from weir_streams.segment import (
    SEGMENT_HEADER_BYTES,
    Record,
    SegmentHeader,
    encode_gap,
    encode_segment_header,
    segment_name,
)

HEADER = encode_segment_header(SegmentHeader(SPOOL_ID, 1, STARTED_US))
SEGMENT = Path(segment_name(1))


def write(directory: Path, *records: bytes) -> Path:
    path = directory / SEGMENT
    path.write_bytes(b"".join((HEADER, *records)) + bytes(4 * KIB))
    return path


def reader_with(pieces: Pieces, directory: Path, damages: list[Damage]) -> SpoolReader:
    return SpoolReader(directory, 0, report=damages.append, monotonic=float, pieces=pieces)


def piece(start: int, end: int) -> Piece:
    return Piece((Record(1, start, 0, end - start, ()),), end, end)


def test_a_second_reader_gets_what_the_first_has_read_without_reading_it(tmp_path: Path) -> None:
    pieces, damages = Pieces(64 * KIB), list[Damage]()
    path = write(tmp_path, family_record(0, 1), family_record(1, 4))
    first, second = (reader_with(pieces, tmp_path, damages) for _ in range(2))
    read = first.read(64 * KIB)
    path.write_bytes(HEADER)
    assert request_ids(second.read(64 * KIB)) == request_ids(read) == ["request-0", "request-1"]
    assert second.next_seq == first.next_seq == 7


def test_what_is_written_later_is_read_by_both(tmp_path: Path) -> None:
    pieces, damages = Pieces(64 * KIB), list[Damage]()
    write(tmp_path, family_record(0, 1))
    first, second = (reader_with(pieces, tmp_path, damages) for _ in range(2))
    first.read(64 * KIB)
    write(tmp_path, family_record(0, 1), family_record(1, 4))
    assert request_ids(second.read(64 * KIB)) == ["request-0"]
    assert request_ids(second.read(64 * KIB)) == request_ids(first.read(64 * KIB)) == ["request-1"]


def test_every_reader_tells_of_what_an_earlier_recovery_lost(tmp_path: Path) -> None:
    pieces, damages = Pieces(64 * KIB), list[Damage]()
    lost = encode_gap(100, 4, STARTED_US).ljust(100, b"\xaa")
    write(tmp_path, family_record(0, 1), lost, family_record(1, 4))
    for _ in range(2):
        assert request_ids(reader_with(pieces, tmp_path, damages).read(64 * KIB)) == [
            "request-0",
            "request-1",
        ]
    assert [damage.reason for damage in damages] == ["lost before a recovery"] * 2


def test_the_oldest_pieces_are_forgotten_when_there_is_too_much() -> None:
    pieces = Pieces(250)
    for start in (0, 100, 200):
        pieces.put(SEGMENT, start, piece(start, start + 100))
    assert pieces.get(SEGMENT, 0) is None
    assert pieces.get(SEGMENT, 200) == piece(200, 300)


def test_a_piece_that_is_known_counts_once() -> None:
    pieces = Pieces(250)
    for _ in range(5):
        pieces.put(SEGMENT, SEGMENT_HEADER_BYTES, piece(0, 100))
    pieces.put(SEGMENT, 200, piece(200, 300))
    assert pieces.get(SEGMENT, SEGMENT_HEADER_BYTES) == piece(0, 100)
