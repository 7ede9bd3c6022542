"""Reading a spool: beside its writer, after a crash, and over damage."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.streams.support import (
    SPOOL_ID,
    STARTED_US,
    ManualClock,
    family_record,
    read_all,
    reader_of,
    request_ids,
)

from weir_streams.errors import SpoolFormatError
from weir_streams.reader import SpoolReader
from weir_streams.reports import Damage
from weir_streams.segment import (
    SEAL,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    encode_gap,
    encode_record,
    encode_segment_header,
    segment_name,
)

PER_FAMILY = 3


def header(base_seq: int = 1) -> bytes:
    return encode_segment_header(SegmentHeader(SPOOL_ID, base_seq, STARTED_US))


def records_of(*numbers: int) -> list[bytes]:
    """Families 0, 1, 2 ... with the sequence numbers that they have when written one after the other."""
    return [family_record(number, 1 + number * PER_FAMILY) for number in numbers]


def write(directory: Path, data: bytes, base_seq: int = 1, room: int = 4096) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / segment_name(base_seq)
    path.write_bytes(data + bytes(room))
    return path


def seal(seq: int) -> bytes:
    return encode_record(SEAL, seq, STARTED_US)


def wanted(*numbers: int) -> list[str]:
    return [f"request-{number}" for number in numbers]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / SPOOL_ID


def test_families_are_read_in_order_across_segments(spool: Path) -> None:
    write(spool, header() + b"".join(records_of(0, 1)) + seal(7), room=0)
    write(spool, header(7) + b"".join(records_of(2)), base_seq=7)
    assert request_ids(read_all(spool)) == wanted(0, 1, 2)


def test_reading_starts_at_the_family_that_holds_the_number(spool: Path) -> None:
    write(spool, header() + b"".join(records_of(0, 1)) + seal(7), room=0)
    write(spool, header(7) + b"".join(records_of(2, 3)), base_seq=7)
    assert request_ids(read_all(spool, from_seq=5)) == wanted(1, 2, 3)
    assert request_ids(read_all(spool, from_seq=10)) == wanted(3)


def test_an_absent_directory_is_empty(spool: Path) -> None:
    assert read_all(spool) == []


def test_a_family_larger_than_a_read_arrives_whole(spool: Path) -> None:
    large = family_record(0, 1, response_body="x" * 300_000)
    write(spool, header() + large + b"".join(records_of(1)))
    assert request_ids(read_all(spool)) == wanted(0, 1)


@settings(max_examples=60)
@given(st.data())
def test_a_file_cut_anywhere_gives_the_families_before_the_cut(data: st.DataObject) -> None:
    records = records_of(0, 1, 2)
    whole = header() + b"".join(records)
    cut = data.draw(st.integers(SEGMENT_HEADER_BYTES, len(whole)))
    ends = [SEGMENT_HEADER_BYTES + sum(map(len, records[: count + 1])) for count in range(len(records))]
    with tempfile.TemporaryDirectory() as root:
        write(Path(root), whole[:cut], room=data.draw(st.sampled_from([0, 5, 4096])))
        damages: list[Damage] = []
        assert request_ids(read_all(Path(root), damages)) == wanted(*range(sum(end <= cut for end in ends)))
        assert damages == []


@settings(max_examples=100)
@given(st.data())
@example(None)
def test_a_flipped_bit_costs_the_family_it_is_in_and_no_other(data: st.DataObject | None) -> None:
    records = records_of(0, 1, 2, 3)
    whole = bytearray(header() + b"".join(records) + seal(13))
    last = len(whole) * 8 - 33 * 8
    bit = SEGMENT_HEADER_BYTES * 8 if data is None else data.draw(st.integers(SEGMENT_HEADER_BYTES * 8, last))
    whole[bit // 8] ^= 1 << bit % 8
    starts = [SEGMENT_HEADER_BYTES + sum(map(len, records[:count])) for count in range(len(records))]
    hit = max(number for number, start in enumerate(starts) if start <= bit // 8)
    with tempfile.TemporaryDirectory() as root:
        write(Path(root), bytes(whole), room=0)
        damages: list[Damage] = []
        left = [number for number in range(4) if number != hit]
        assert request_ids(read_all(Path(root), damages)) == wanted(*left)
        assert [(damage.offset, damage.length) for damage in damages] == [(starts[hit], len(records[hit]))]
        assert damages[0].first_missing == 1 + hit * PER_FAMILY
        assert damages[0].resumed_at == 1 + (hit + 1) * PER_FAMILY


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=200), st.integers(0, 3000))
def test_rubbish_written_anywhere_never_makes_a_false_family(rubbish: bytes, at: int) -> None:
    whole = bytearray(header() + b"".join(records_of(0, 1, 2)) + seal(10))
    whole[at : at + len(rubbish)] = rubbish
    with tempfile.TemporaryDirectory() as root:
        write(Path(root), bytes(whole))
        try:
            found = request_ids(read_all(Path(root), []))
        except SpoolFormatError:
            return
        assert found == [name for name in wanted(0, 1, 2) if name in found]


def test_a_block_of_zeros_in_a_finished_segment_is_damage_not_its_end(spool: Path) -> None:
    records = records_of(0, 1, 2)
    write(spool, header() + records[0] + bytes(len(records[1])) + records[2] + seal(10), room=0)
    write(spool, header(10) + b"".join(records_of(3)), base_seq=10)
    damages: list[Damage] = []
    assert request_ids(read_all(spool, damages)) == wanted(0, 2, 3)
    assert [damage.first_missing for damage in damages] == [4]


def test_a_segment_that_lost_its_end_is_reported_and_left(spool: Path) -> None:
    records = records_of(0, 1)
    write(spool, header() + records[0] + records[1][:50], room=0)
    write(spool, header(7) + b"".join(records_of(2)), base_seq=7)
    damages: list[Damage] = []
    assert request_ids(read_all(spool, damages)) == wanted(0, 2)
    assert [(damage.first_missing, damage.resumed_at) for damage in damages] == [(4, 7)]


def test_a_missing_seal_alone_is_no_damage(spool: Path) -> None:
    write(spool, header() + b"".join(records_of(0, 1)))
    write(spool, header(7) + b"".join(records_of(2)), base_seq=7)
    damages: list[Damage] = []
    assert request_ids(read_all(spool, damages)) == wanted(0, 1, 2)
    assert damages == []


def test_a_gap_left_by_a_recovery_is_reported_and_passed(spool: Path) -> None:
    records = records_of(0, 1, 2)
    gap = encode_gap(len(records[1]), 7, STARTED_US).ljust(len(records[1]), b"\xee")
    write(spool, header() + records[0] + gap + records[2])
    damages: list[Damage] = []
    assert request_ids(read_all(spool, damages)) == wanted(0, 2)
    assert [(damage.first_missing, damage.resumed_at, damage.length) for damage in damages] == [
        (4, 7, len(records[1]))
    ]


def test_a_record_whose_number_goes_back_is_not_read_again(spool: Path) -> None:
    first, second = records_of(0, 1)
    write(spool, header() + first + second + first + b"".join(records_of(2)))
    assert request_ids(read_all(spool)) == wanted(0, 1, 2)


def test_a_record_half_written_by_a_live_writer_is_waited_for(spool: Path) -> None:
    first, second = records_of(0, 1)
    path = write(spool, header() + first + second[:100])
    clock, damages = ManualClock(), list[Damage]()
    reader = SpoolReader(spool, 0, report=damages.append, monotonic=clock.monotonic)
    assert request_ids(reader.read(4096)) == wanted(0)
    for _ in range(20):
        clock.advance(1)
        assert reader.read(4096) == []
        assert reader.at_end
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), second, SEGMENT_HEADER_BYTES + len(first))
    assert request_ids(reader.read(4096)) == wanted(1)
    assert damages == []
    reader.close()


def test_what_stands_behind_a_half_written_record_must_be_intact_to_make_it_damage(spool: Path) -> None:
    first, second, third = records_of(0, 1, 2)
    path = write(spool, header() + first + second[:100].ljust(len(second), b"\0"))
    clock, damages = ManualClock(), list[Damage]()
    reader = SpoolReader(spool, 0, report=damages.append, monotonic=clock.monotonic)
    reader.read(4096)
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), third, SEGMENT_HEADER_BYTES + len(first) + len(second))
    assert reader.read(4096) == []
    clock.advance(1)
    reader.read(4096)
    assert request_ids(reader.read(4096)) == wanted(2)
    assert [damage.first_missing for damage in damages] == [4]
    reader.close()


def test_a_live_reader_goes_on_in_the_next_segment(spool: Path) -> None:
    path = write(spool, header() + b"".join(records_of(0)))
    reader = reader_of(spool)
    assert request_ids(reader.read(4096)) == wanted(0)
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), seal(4), SEGMENT_HEADER_BYTES + len(records_of(0)[0]))
    reader.read(4096)
    assert reader.at_end
    write(spool, header(4) + b"".join(records_of(1)), base_seq=4)
    while not (found := reader.read(4096)):
        assert reader.at_end is False
    assert request_ids(found) == wanted(1)
    reader.close()


def test_a_reader_whose_segments_were_deleted_goes_on_with_the_oldest_kept(spool: Path) -> None:
    write(spool, header(100) + b"".join([family_record(5, 100)]), base_seq=100)
    assert request_ids(read_all(spool, from_seq=7)) == wanted(5)
