from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_core.clock import SystemClock, parse_rfc3339, rfc3339

END_OF_TIME_US = 253_402_300_799_999_999


def test_the_wall_clock_counts_microseconds_since_the_epoch() -> None:
    before = datetime.now(UTC).timestamp()
    now_us = SystemClock().wall_us()
    after = datetime.now(UTC).timestamp()

    assert before - 1 <= now_us / 1_000_000 <= after + 1


def test_the_monotonic_clock_never_goes_back() -> None:
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]

    assert readings == sorted(readings)


@pytest.mark.parametrize(
    ("wall_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_772_323_199_999_999, "2026-02-28T23:59:59.999999Z"),
    ],
)
def test_a_moment_is_written_in_utc_with_six_digits(wall_us: int, text: str) -> None:
    assert rfc3339(wall_us) == text


@given(st.integers(min_value=-END_OF_TIME_US // 5, max_value=END_OF_TIME_US))
def test_what_is_written_is_read_back(wall_us: int) -> None:
    assert parse_rfc3339(rfc3339(wall_us)) == wall_us


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31t12:00:00z",
        "2026-01-31 12:00:00Z",
        "2026-01-31T14:00:00+02:00",
        "2026-01-31T06:30:00.0-05:30",
        "2026-01-31T12:00:00.0000009Z",
    ],
)
def test_every_way_of_writing_a_moment_is_read(text: str) -> None:
    assert rfc3339(parse_rfc3339(text)) == "2026-01-31T12:00:00.000000Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31T12:00Z",
        "2026-01-31T12Z",
        "20260131T120000Z",
        "2026-W05-6T12:00:00Z",
        "2026-01-31T12:00:00,5Z",
        "2026-01-31T12:00:00+0200",
        "2026-02-30T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:00:00Z\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_rfc3339(text)


def test_a_time_without_offset_is_refused_with_an_example() -> None:
    with pytest.raises(ValueError, match="write it as 2026-01-31T12:00:00Z"):
        parse_rfc3339("2026-01-31T12:00:00")
