"""A worker's own spool: admit a request, append its event family, and nothing of it can be lost.

Signatures first; the behaviour follows in the next commits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from weir_core.clock import Clock
from weir_core.ids import new_id
from weir_streams.admission import Admission
from weir_streams.events import Event
from weir_streams.inflight import Slot
from weir_streams.reports import Logger
from weir_streams.settings import SpoolSettings


class Spool:
    """One locked spool directory. ``admit``, ``append`` and ``synced`` belong to one thread, the loop's."""

    id: str
    settings: SpoolSettings

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        settings: SpoolSettings,
        clock: Clock,
        logger: Logger,
        ids: Callable[[], str] = new_id,
    ) -> Self:
        """Lock a directory below ``root/spool`` that no living process owns, or make one, and recover it.

        ``root`` is the data directory. Every other directory without an owner is recovered too and left.
        Blocks (disk, and reading what the last owner had not sealed); call it before the loop serves.

        Raises:
            SpoolFullError: Orphans of the last owner cannot be written; they stay where they are.
            SpoolWriteError: The directory cannot be made or written.
        """
        raise NotImplementedError

    @property
    def next_seq(self) -> int:
        """The sequence number that the next event gets."""
        raise NotImplementedError

    @property
    def healthy(self) -> bool:
        """Whether the last write or sync succeeded; for readiness."""
        raise NotImplementedError

    @property
    def reason(self) -> str:
        """Why it is not healthy; empty when it is."""
        raise NotImplementedError

    @property
    def in_flight(self) -> int:
        """Slots that are taken."""
        raise NotImplementedError

    def admit(self, admission: Admission) -> Slot:
        """Take a slot, make the family's event ids and set room aside. Does not block.

        Raises:
            SpoolFullError: No room (or the spool is not healthy); answer 503 with Retry-After.
            TooManyInFlightError: No free slot.
        """
        raise NotImplementedError

    def append(self, slot: Slot, family: Sequence[Event]) -> int:
        """Write the family as one record and free the slot; return the sequence number to wait for.

        Sets ``spool_id`` and ``spool_seq`` on the events. When it returns, a killed process cannot lose them.
        Where room is short the bodies are left out (``*_truncated``). At most one write; no thread.

        Raises:
            SpoolWriteError: The disk refused; the slot stays taken and the family is written when the disk is
                back, or recovered if the process dies first. Abort the answer, do not append again.
        """
        raise NotImplementedError

    async def synced(self, seq: int) -> None:
        """Wait until everything up to ``seq`` (from ``append``) survives a power cut.

        Only needed when ``settings.sync`` is ``always``.

        Raises:
            SpoolWriteError: The disk refused.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Sync, seal and unlock; slots still taken become families when the directory is next opened. Blocks."""
        raise NotImplementedError
