"""The embedded ``EventLog``: the spools themselves, read in place.

A partition is a topic in one spool directory, an offset is an event's sequence number. A group has one member
at a time, held by a lock that its process cannot leave behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from weir_core.clock import Clock
from weir_core.errors import InvalidInputError
from weir_streams.cursor import SpoolCursor
from weir_streams.errors import GroupBusyError, LogUnavailableError, SpoolFormatError
from weir_streams.home import owner_of, spool_directories
from weir_streams.locking import DirectoryLock
from weir_streams.log import LogRecord, Partition
from weir_streams.offsets import GroupOffsets, group_directory
from weir_streams.pieces import Pieces
from weir_streams.reader import SpoolReader
from weir_streams.reports import Damage, Logger

_PIECE_BYTES: Final = 256 * 1024
_REMEMBERED_BYTES: Final = 16 * 1024 * 1024
_SHORTEST_WAIT_S: Final = 0.001
_LONGEST_WAIT_S: Final = 0.025
_LOOK_FOR_SPOOLS_S: Final = 0.1
_STORE_IDLE_S: Final = 1.0


class EmbeddedLog:
    """Reads every spool below a data directory.

    Args:
        root: The data directory; it may be empty yet.
        clock: Paces waiting.
        logger: Told of every damage that was skipped, and of groups that start anew.
        on_damage: Called with each damage as well, for a metric or an alarm.
        owner: Read only the spool of the worker with this name; None reads all of them.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        logger: Logger,
        on_damage: Callable[[Damage], None] | None = None,
        owner: str | None = None,
    ) -> None:
        self.damages = 0
        self._root = root
        self._clock = clock
        self._logger = logger
        self._on_damage = on_damage
        self._owner = owner
        self._pieces = Pieces(_REMEMBERED_BYTES)

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: Mapping[Partition, int] | None = None
    ) -> EmbeddedConsumer:
        """Join ``group`` as its only member. A new group starts at the earliest record that is still kept.

        With ``start`` it reads from there, or from the earliest record of what that does not name.

        Raises:
            GroupBusyError: Retryable; another live member holds the group.
            LogUnavailableError: Retryable; the group's offsets cannot be read.
            InvalidInputError: No topics.
        """
        if not topics:
            raise InvalidInputError(f"group {group} needs at least one topic", field="topics")
        return await asyncio.to_thread(self._join, group, tuple(topics), start)

    async def close(self) -> None:
        """Nothing is held here: consumers hold their own files."""

    def _join(
        self, group: str, topics: tuple[str, ...], start: Mapping[Partition, int] | None
    ) -> EmbeddedConsumer:
        directory = group_directory(self._root, group)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = DirectoryLock.take(directory)
            offsets = GroupOffsets.load(self._root, group)
        except OSError as error:
            raise LogUnavailableError(f"the offsets of group {group} cannot be read: {error}") from error
        if lock is None:
            raise GroupBusyError(f"group {group} has a live member already; it takes one at a time")
        if offsets.damaged:
            self._logger.error("offsets damaged, the group reads everything again", group=group)
        return EmbeddedConsumer(
            self._root, topics, lock, offsets, start, self._pieces, self._clock, self._report, self._owner
        )

    def _report(self, damage: Damage) -> None:
        self.damages += 1
        self._logger.error("spool damaged", **msgspec.structs.asdict(damage))
        if self._on_damage is not None:
            self._on_damage(damage)


class EmbeddedConsumer:
    """The one member of a group. Belongs to one event loop; reads happen in it, in small pieces."""

    def __init__(
        self,
        root: Path,
        topics: tuple[str, ...],
        lock: DirectoryLock,
        offsets: GroupOffsets,
        start: Mapping[Partition, int] | None,
        pieces: Pieces,
        clock: Clock,
        report: Callable[[Damage], None],
        owner: str | None = None,
    ) -> None:
        self._owner = owner
        self._root = root
        self._topics = topics
        self._lock: DirectoryLock | None = lock
        self._offsets = offsets
        self._start = start
        self._pieces = pieces
        self._clock = clock
        self._report = report
        self._cursors: dict[Path, SpoolCursor] = {}
        self._turn: deque[SpoolCursor] = deque()
        self._look_at = 0.0
        self._store_at = 0.0
        self._counting = asyncio.Lock()
        self._storing = asyncio.Lock()

    async def poll(self, max_records: int, timeout_s: float) -> Sequence[LogRecord]:
        """Return the next records, in order within each partition; wait up to ``timeout_s`` for the first.

        The time counts waiting, not reading: what is there is found however far it stands behind others.

        Raises:
            LogUnavailableError: Retryable; a spool cannot be read now, or the consumer was closed.
        """
        deadline = self._clock.monotonic() + timeout_s
        wait_s = _SHORTEST_WAIT_S
        while True:
            # A reader with a backlog never waits, and the loop has others to serve. It yields before it
            # takes: a cancelled poll must not have taken records that nobody gets.
            await asyncio.sleep(0)
            records = self._take(max_records)
            if records:
                return records
            if not all(cursor.at_end for cursor in self._turn):
                continue
            await self._store_idle()
            left_s = deadline - self._clock.monotonic()
            if left_s <= 0:
                return []
            await asyncio.sleep(min(wait_s, left_s))
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def lost(self) -> Collection[Partition]:
        """None: this member is the only one of its group."""
        return ()

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Durably store, per partition, the offset of the next record to read (last finished + 1).

        Offsets only grow. Partitions that are not this consumer's, or are gone, are passed over.

        Raises:
            LogUnavailableError: Retryable; the disk refused, what was committed before stands.
        """
        by_name = {directory.name: cursor for directory, cursor in self._cursors.items()}
        for partition, offset in offsets.items():
            cursor = by_name.get(partition.name)
            if cursor is not None and partition.topic in self._topics:
                cursor.commit(partition.topic, offset)
        await self._store()

    async def lag(self) -> Mapping[Partition, int]:
        """Records that are not committed, per partition. After a restart it reads the backlog once.

        Raises:
            LogUnavailableError: Retryable; a spool cannot be read now.
        """
        lag: dict[Partition, int] = {}
        self._find_spools(now=True)
        async with self._counting:
            for cursor in tuple(self._turn):
                try:
                    await asyncio.to_thread(cursor.count_ahead, cursor.start_counting())
                except (OSError, SpoolFormatError) as error:
                    raise LogUnavailableError(f"the spool cannot be read: {error}") from error
                lag.update(cursor.lag())
        return lag

    async def close(self) -> None:
        """Leave the group. Commits nothing."""
        async with self._counting, self._storing:
            for cursor in self._cursors.values():
                cursor.close()
            self._cursors.clear()
            self._turn.clear()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _take(self, max_records: int) -> list[LogRecord]:
        if self._lock is None:
            raise LogUnavailableError("the consumer was closed; join the group again")
        self._find_spools()
        records: list[LogRecord] = []
        size = 0
        try:
            for cursor in self._turn:
                taken = cursor.take(max_records - len(records), _PIECE_BYTES)
                records += taken
                size += sum(len(record.value) for record in taken)
                if len(records) >= max_records or size >= _PIECE_BYTES:
                    break
        except (OSError, SpoolFormatError) as error:
            raise LogUnavailableError(f"the spool cannot be read: {error}") from error
        # The next poll starts with another spool, so that a busy one cannot starve the rest.
        self._turn.rotate(-1)
        return records

    def _find_spools(self, *, now: bool = False) -> None:
        if not now and self._clock.monotonic() < self._look_at:
            return
        self._look_at = self._clock.monotonic() + _LOOK_FOR_SPOOLS_S
        present = spool_directories(self._root)
        for directory in present:
            if directory not in self._cursors and self._owner in (None, owner_of(directory)):
                self._cursors[directory] = self._open_cursor(directory)
        for directory in self._cursors.keys() - set(present):
            if self._cursors[directory].is_done and not self._counting.locked():
                self._cursors.pop(directory).close()
        self._turn = deque(self._cursors.values())

    def _open_cursor(self, directory: Path) -> SpoolCursor:
        partitions = {topic: Partition(topic, directory.name) for topic in self._topics}
        stored = {topic: self._offsets.committed(partition) for topic, partition in partitions.items()}
        start = stored
        if self._start is not None:
            start = {topic: self._start.get(partition, 0) for topic, partition in partitions.items()}
        reader = SpoolReader(
            directory,
            min(start.values()),
            report=self._report,
            monotonic=self._clock.monotonic,
            pieces=self._pieces,
        )
        return SpoolCursor(directory.name, start, stored, reader)

    async def _store_idle(self) -> None:
        if self._clock.monotonic() < self._store_at:
            return
        self._store_at = self._clock.monotonic() + _STORE_IDLE_S
        # It only lets retention go on over other groups' topics; a commit says when the disk refuses.
        with contextlib.suppress(LogUnavailableError):
            await self._store()

    async def _store(self) -> None:
        async with self._storing:
            moved = [(cursor, cursor.to_store()) for cursor in self._cursors.values()]
            offsets = {partition: offset for _, each in moved for partition, offset in each.items()}
            if not offsets:
                return
            spools = [directory.name for directory in self._cursors]
            try:
                await asyncio.to_thread(self._offsets.store, offsets, self._topics, spools)
            except OSError as error:
                raise LogUnavailableError(f"offsets cannot be stored: {error}") from error
            for cursor, each in moved:
                cursor.stored(each)
