"""Time as a parameter, so that a test can hold it."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Protocol

# ``fromisoformat`` reads more of ISO 8601 than that: week dates, bare hours, times without separators.
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What Weir asks of time."""

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow; for durations and deadlines."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def wall_us(self) -> int:
        """See ``Clock.wall_us``."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """See ``Clock.monotonic``."""
        return time.monotonic()


def rfc3339(wall_us: int) -> str:
    """Format microseconds since the epoch as RFC 3339 in UTC with six fractional digits."""
    seconds, micros = divmod(wall_us, 1_000_000)
    return f"{_to_the_second(seconds)}.{micros:06d}Z"


# Most moments that are formatted lie within the same second or two.
@lru_cache(maxsize=16)
def _to_the_second(seconds: int) -> str:
    moment = time.gmtime(seconds)
    return (
        f"{moment.tm_year:04d}-{moment.tm_mon:02d}-{moment.tm_mday:02d}T"
        f"{moment.tm_hour:02d}:{moment.tm_min:02d}:{moment.tm_sec:02d}"
    )


def parse_rfc3339(text: str) -> int:
    """Return microseconds since the epoch; finer fractions are cut off.

    Raises:
        ValueError: The text is not a time of RFC 3339, which always has an offset.
    """
    if _RFC3339.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a time with its offset; write it as 2026-01-31T12:00:00Z")
    return (datetime.fromisoformat(text.upper()) - _EPOCH) // timedelta(microseconds=1)
