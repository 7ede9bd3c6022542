"""How long to wait between tries."""

from __future__ import annotations

import msgspec


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds before a next try: ``first_s``, then double each time, at most ``longest_s``."""

    first_s: float
    longest_s: float

    def after(self, failures: int) -> float:
        """The wait after so many failures in a row, one or more."""
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 60))
