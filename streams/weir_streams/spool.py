"""A worker's own spool: admit a request, append its event family, and nothing of it can be lost.

The hot path is this module: a slot in mapped memory, then one write into room that exists already. Whatever
may block (allocating, syncing, retention, a disk that refuses) happens on two threads beside it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from weir_core.clock import Clock
from weir_core.ids import new_id
from weir_streams.admission import Admission, EventIds
from weir_streams.aside import Aside, Refused
from weir_streams.errors import FamilyError, SpoolClosedError, SpoolFullError, SpoolWriteError
from weir_streams.events import EncodedEvent
from weir_streams.families import UNENCODABLE, Family, encode_family, fit_family
from weir_streams.headroom import Headroom
from weir_streams.home import Owned, SpoolHome
from weir_streams.inflight import Slot
from weir_streams.keeper import Chore, Keeper
from weir_streams.reports import Logger
from weir_streams.retention import NeededGroups, Retention
from weir_streams.segment import FAMILY, encode_record
from weir_streams.settings import KIB, MIB, SpoolSettings
from weir_streams.syncing import Syncer

MAX_FAMILY_BYTES: Final = MIB - 4 * KIB
"""Of a record. No event of it is larger than the contract's 1 MiB then: an event says more than the record
of its call only by the fields that have their default.
"""
_RETENTION_EVERY_S: Final = 10.0
_SWEEP_EVERY_S: Final = 60.0
# Siblings that start together first get the chance to claim the directories they owned before.
_FIRST_SWEEP_S: Final = 1.0


class Spool:
    """One locked spool directory. ``admit``, ``append`` and ``synced`` belong to one thread, the loop's."""

    def __init__(
        self,
        owned: Owned,
        home: SpoolHome,
        retention: Retention,
        *,
        settings: SpoolSettings,
        clock: Clock,
        logger: Logger,
        ids: Callable[[], str],
    ) -> None:
        self.id = owned.files.spool_id
        self.settings = settings
        self._owned = owned
        self._writer = owned.writer
        self._table = owned.table
        self._clock = clock
        self._logger = logger
        self._ids = ids
        self._closed = False
        self._holds_slots = settings.sync == "always"
        self._unsynced: deque[tuple[int, int]] = deque()
        self._aside = Aside()
        self._headroom = Headroom(owned.writer, settings.slot_reserve_bytes, retention, clock, logger)
        self._syncer = Syncer(owned.writer, owned.table, settings.sync_interval_s, self._free_synced, logger)
        directory = owned.files.directory
        self._keeper = Keeper(
            (
                Chore(self._write_refused, 0, 0),
                Chore(self._allocate_ahead, 0, 0),
                Chore(lambda: self._retain(retention, directory), _RETENTION_EVERY_S, _RETENTION_EVERY_S),
                Chore(lambda: home.sweep(retention), _SWEEP_EVERY_S, _FIRST_SWEEP_S),
            ),
            clock,
            self._chore_failed,
        )

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        settings: SpoolSettings,
        clock: Clock,
        logger: Logger,
        ids: Callable[[], str] = new_id,
        needed_groups: NeededGroups | None = None,
        owner: str = "",
    ) -> Self:
        """Lock a directory below ``root/spool`` that no living process owns, or make one, and recover it.

        ``root`` is the data directory, ``needed_groups`` what retention waits for beside the required groups
        (see ``Retention``). Other directories without an owner are recovered a moment later, on a thread, and
        left. With an ``owner`` its directory is the same one each time, so that what one worker writes stays
        in one order. Blocks (disk, and reading what the last owner had not sealed); call it before the loop
        serves.

        Raises:
            SpoolError, OSError: No directory can be made or used.
        """
        home = SpoolHome(root, settings, clock, logger)
        retention = Retention(root, settings, clock, logger, needed_groups)
        owned = home.claim(owner)
        spool = cls(owned, home, retention, settings=settings, clock=clock, logger=logger, ids=ids)
        spool._syncer.start()
        spool._keeper.start()
        logger.info("spool open", spool_id=spool.id, next_seq=spool.next_seq)
        return spool

    @property
    def next_seq(self) -> int:
        """The sequence number that the next event gets."""
        return self._writer.next_seq

    @property
    def healthy(self) -> bool:
        """Whether a request would be admitted as far as the disk is concerned; for readiness."""
        return not self.reason

    @property
    def reason(self) -> str:
        """Why it is not healthy; empty when it is."""
        fault = self._aside.reason or self._syncer.reason or self._keeper.reason
        if fault:
            return fault
        return "" if self._headroom.covers(self._table.taken + 1) else self._headroom.reason

    @property
    def in_flight(self) -> int:
        """Slots that are taken."""
        return self._table.taken

    def admit(self, admission: Admission) -> Slot:
        """Take a slot, make the family's event ids and set room aside. Does not wait.

        Raises:
            SpoolFullError: No room, or the disk refuses writes; answer 503 with Retry-After.
            TooManyInFlightError: No free slot.
            SpoolClosedError: It was closed.
        """
        if self._aside.reason or self._syncer.reason or self._closed:
            raise self._refusal()
        if not self._headroom.covers(self._table.taken + 1):
            self._make_room(self._table.taken + 1)
        ids = self._ids
        return self._table.admit(admission, EventIds(ids(), ids(), ids()), self._writer.next_seq)

    def append(self, slot: Slot, family: Family) -> int:
        """Write the family as one record and free the slot; return the sequence number to wait for.

        Its events get this spool's id and numbers. When it returns, a killed process cannot lose them.
        Where room is short the bodies are left out (``*_truncated``). One write; no thread, no waiting.

        Raises:
            SpoolWriteError: The disk refused; the slot stays taken and the family is written when the disk is
                back, or recovered if the process dies first. Abort the answer, do not append again.
            SlotError: The slot has had its family.
            SpoolClosedError: It was closed; the slot's family is recovered at the next open.
        """
        if self._closed:
            raise self._refusal()
        refused = Refused(slot.end(), family)
        if self._aside.reason and self._aside.join(refused):
            raise self._write_error()
        try:
            self._write(refused)
        except (OSError, SpoolFullError) as error:
            self._set_aside(refused, error)
            raise self._write_error() from error
        return self._writer.next_seq - 1

    def append_event(self, make: Callable[[str, int], EncodedEvent]) -> int:
        """Write one event that belongs to no request; return the sequence number to wait for.

        It takes no room that an admitted request owns. When it returns, a killed process cannot lose it; when
        it raises, nothing was written. One write; no thread, no waiting.

        Args:
            make: Makes the event from the spool's id and its sequence number.

        Raises:
            SpoolFullError: No room, or the disk refuses writes.
            SpoolWriteError: The disk refused this one.
            SpoolClosedError: It was closed.
        """
        if self._aside.reason or self._syncer.reason or self._closed:
            raise self._refusal()
        seq = self._writer.next_seq
        record = encode_record(FAMILY, seq, self._clock.wall_us(), [make(self.id, seq)])
        while not self._headroom.covers_after(len(record), self._table.taken + 1):
            if not self._headroom.grow() and not self._headroom.covers_after(
                len(record), self._table.taken + 1
            ):
                raise self._refusal()
        try:
            self._writer.write(record, 1)
        except OSError as error:
            self._aside.note(f"the disk refused a write: {error}")
            raise self._write_error() from error
        if not self._owned.files.spares:
            self._keeper.wake()
        return seq

    async def synced(self, seq: int) -> None:
        """Wait until everything up to ``seq`` (from ``append``) survives a power cut.

        Only needed when ``settings.sync`` is ``always``.

        Raises:
            SpoolWriteError: The disk refused.
        """
        await self._syncer.wait(seq)

    def close(self) -> None:
        """Sync, seal and unlock; slots still taken become families at the next open. Blocks.

        Raises:
            OSError: The disk refused; what was appended is there, the next owner mends the rest.
        """
        if self._closed:
            return
        self._closed = True
        self._keeper.stop()
        self._syncer.stop()
        try:
            self._write_refused()
            self._owned.settle()
        finally:
            self._owned.close()

    def _write(self, refused: Refused) -> None:
        record = self._record(refused.family)
        self._writer.write(record, len(refused.family))
        if self._holds_slots:
            # Free on the platter before its family is there, a power cut would lose the request.
            self._unsynced.append((self._writer.next_seq, refused.slot))
        else:
            self._table.free(refused.slot)
        if not self._owned.files.spares:
            self._keeper.wake()

    def _record(self, family: Family) -> bytes:
        seq, wall_us = self._writer.next_seq, self._clock.wall_us()
        try:
            record = encode_family(family, self.id, seq, wall_us)
        except UNENCODABLE:
            record = b""
        others = self._table.taken - 1
        if record and len(record) <= MAX_FAMILY_BYTES:
            if not self._headroom.covers_after(len(record), others):
                self._headroom.grow()
            if self._headroom.covers_after(len(record), others):
                return record
        return fit_family(family, self.id, seq, wall_us, self._headroom.reserve)

    def _make_room(self, requests: int) -> None:
        while not self._headroom.covers(requests):
            # The keeper may have taken the last segment that could be had just before, for us.
            if not self._headroom.grow() and not self._headroom.covers(requests):
                raise self._refusal()

    def _free_synced(self, reached: int) -> None:
        """On the sync thread: what waited for the platter is there."""
        unsynced = self._unsynced
        while unsynced and unsynced[0][0] <= reached:
            self._table.free(unsynced.popleft()[1])

    def _write_refused(self) -> None:
        """On the keeper's thread: see whether the disk takes what it refused."""
        if not self._aside.reason:
            return
        self._writer.scrub()
        written = self._aside.drain(self._write_late)
        self._logger.info("spool writes again", spool_id=self.id, families=written)

    def _write_late(self, refused: Refused) -> None:
        try:
            self._write(refused)
        except FamilyError as error:
            # It must not hold up those behind it; its slot stays taken, so it is recovered at the next open.
            self._chore_failed(error)

    def _allocate_ahead(self) -> None:
        if not self._owned.files.spares:
            self._headroom.grow()

    def _retain(self, retention: Retention, directory: Path) -> None:
        # A stale slot on the platter must find its family in the spool, so the table goes first.
        self._table.sync()
        retention.apply(directory)

    def _set_aside(self, refused: Refused, error: Exception) -> None:
        self._aside.begin(refused, f"the disk refused a write: {error}")
        self._logger.error("spool write failed", spool_id=self.id, reason=str(error))

    def _chore_failed(self, error: Exception) -> None:
        self._logger.warning("spool chore failed", spool_id=self.id, reason=str(error))

    def _refusal(self) -> SpoolFullError | SpoolClosedError:
        if self._closed:
            return SpoolClosedError(f"spool {self.id} is closed")
        return SpoolFullError(f"no room to record one more request: {self.reason}")

    def _write_error(self) -> SpoolWriteError:
        return SpoolWriteError(f"spool {self.id}: {self._aside.reason}; it is tried again every second")
