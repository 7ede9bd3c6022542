"""What the event path tells its operator: a logger's shape and the typed report of damage."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Logger(Protocol):
    """The part of a structured logger that this room uses; a structlog logger fits."""

    def info(self, event: str, **fields: object) -> object:
        """Record something worth knowing."""
        ...

    def warning(self, event: str, **fields: object) -> object:
        """Record something an operator should look at."""
        ...

    def error(self, event: str, **fields: object) -> object:
        """Record something an operator must look at."""
        ...


class Damage(msgspec.Struct, frozen=True):
    """Bytes of a spool that can no longer be read; readers go on behind them.

    Sequence numbers from ``first_missing`` up to ``resumed_at`` are missing (``resumed_at`` 0: unknown).
    """

    spool_id: str
    segment: str
    offset: int
    length: int
    first_missing: int
    resumed_at: int
    reason: str
