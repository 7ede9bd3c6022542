"""Room that is set aside before it is needed, so that an admitted request's family always finds a place."""

from __future__ import annotations

from weir_core.clock import Clock
from weir_streams.errors import SpoolFullError
from weir_streams.reports import Logger
from weir_streams.retention import Retention
from weir_streams.writer import SegmentWriter

_TRY_AGAIN_S = 1.0


class Headroom:
    """Allocates segments ahead, and remembers for a second when the disk or the cap said no.

    Args:
        writer: Whose room it is.
        reserve: Bytes that each admitted request owns.
        retention: Asked for a consumed segment when there is no room.
        clock: Paces the attempts.
        logger: Told when the spool fills and when there is room again.
    """

    def __init__(
        self, writer: SegmentWriter, reserve: int, retention: Retention, clock: Clock, logger: Logger
    ) -> None:
        self.reserve = reserve
        self.reason = ""
        self._writer = writer
        self._retention = retention
        self._clock = clock
        self._logger = logger
        self._try_at = 0.0

    def covers(self, requests: int) -> bool:
        """Whether as many families fit for certain, each in its reserve. Costs a few additions."""
        needed = requests * self.reserve
        # Nearly always one segment is enough, and nobody has to add up the others.
        return self._writer.room_here >= needed or self._writer.room_beyond(self.reserve) >= needed

    def covers_after(self, size: int, requests: int) -> bool:
        """Whether they still would behind a record of ``size`` bytes."""
        needed = requests * self.reserve
        return (
            self._writer.room_here - size >= needed or self._writer.room_after(size, self.reserve) >= needed
        )

    def grow(self) -> bool:
        """Allocate one more segment unless that failed within the last second. May block for a moment."""
        if self.reason and self._clock.monotonic() < self._try_at:
            return False
        try:
            self._allocate()
        except (OSError, SpoolFullError) as error:
            self._refused(str(error))
            return False
        if self.reason:
            self._logger.info("spool has room again", spool_id=self._writer.files.spool_id)
            self.reason = ""
        return True

    def _refused(self, reason: str) -> None:
        if not self.reason:
            self._logger.error("spool full", spool_id=self._writer.files.spool_id, reason=reason)
        self.reason = reason
        self._try_at = self._clock.monotonic() + _TRY_AGAIN_S

    def _allocate(self) -> None:
        files = self._writer.files
        try:
            files.allocate()
        except (OSError, SpoolFullError):
            if not self._retention.make_room(files.directory):
                raise
            files.allocate()
