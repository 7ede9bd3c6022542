"""The timestamps that records have in Kafka, also where the clock of this host or of the brokers is wrong.

Brokers refuse a timestamp that is too far from their own time (``message.timestamp.after.max.ms``, an hour
unless set, and ``message.timestamp.before.max.ms``), but never a record that has none.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

from weir_core.clock import Clock, parse_rfc3339

_TIME_HEADER: Final = "ce_time"
_NO_TIMESTAMP: Final = -1
_TRY_OWN_AGAIN_S: Final = 60.0


class Stamp(enum.IntEnum):
    """What time a record is given; each refusal leads to the next."""

    OWN = 0
    """The event's own, so that retention and replay by time go by when something happened."""
    NOW = 1
    """The relay's: the event's is not taken, and the clock may have been set right since."""
    NONE = 2
    """Kafka goes by the age of the file then."""


class Stamps:
    """Which time records are given just now. Clocks are wrong for a whole host, so one answer is for all.

    Args:
        clock: Says what is now, and when the events' own time is to be tried again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stamp = Stamp.OWN
        self._until = 0.0
        self._last = b""
        self._last_ms = 0

    def current(self) -> Stamp:
        """What is given now."""
        if self._stamp is not Stamp.OWN and self._clock.monotonic() >= self._until:
            self._stamp = Stamp.OWN
        return self._stamp

    def refused(self, stamp: Stamp) -> bool:
        """Take note that a time was refused; whether there is another one to try."""
        if stamp is Stamp.NONE:
            return False
        if self._stamp <= stamp:
            self._stamp = Stamp(stamp + 1)
            self._until = self._clock.monotonic() + _TRY_OWN_AGAIN_S
        return True

    def milliseconds(self, stamp: Stamp, headers: Sequence[tuple[str, bytes]]) -> int:
        """The timestamp of a record with these headers."""
        if stamp is Stamp.OWN:
            return self._own_ms(headers)
        return self._clock.wall_us() // 1000 if stamp is Stamp.NOW else _NO_TIMESTAMP

    def _own_ms(self, headers: Sequence[tuple[str, bytes]]) -> int:
        """The events of one request have the same time and stand side by side."""
        text = next(value for name, value in headers if name == _TIME_HEADER)
        if text != self._last:
            self._last_ms = parse_rfc3339(text.decode()) // 1000
            self._last = text
        return self._last_ms
