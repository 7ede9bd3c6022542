"""Getting what was written onto the platter: one thread for all who wait, none for those who do not."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import deque
from collections.abc import Callable

from weir_streams.durable import sync_data, write_all
from weir_streams.errors import SpoolWriteError
from weir_streams.inflight import InflightTable
from weir_streams.reports import Logger
from weir_streams.writer import OpenSegment, SegmentWriter


def sync_writer(writer: SegmentWriter) -> int:
    """Make everything written so far survive a power cut; return the sequence number it reaches (exclusive).

    Blocks; any thread, one at a time. Retired segments are cut to their length and closed.

    Raises:
        OSError: The disk refused; call again, and what it may have dropped is written again first.
    """
    unsynced = writer.unsynced()
    for segment in unsynced.retired:
        _sync_segment(segment)
        writer.forget(segment)
    if unsynced.current is not None and unsynced.current not in unsynced.retired:
        _refuse_deleted(unsynced.current)
        _sync_segment(unsynced.current)
    writer.files.sync_names()
    return unsynced.next_seq


def _refuse_deleted(segment: OpenSegment) -> None:
    """Nobody would ever read what is written on into a file that was deleted under a running gateway."""
    if os.fstat(segment.fd).st_nlink == 0:
        raise OSError(errno.ENOENT, "the spool's files were deleted; restart this worker")


def _sync_segment(segment: OpenSegment) -> None:
    position = segment.position
    if segment.suspect:
        _write_again(segment, position)
    segment.suspect = True
    sync_data(segment.fd)
    segment.suspect = False
    segment.synced_to = position


def _write_again(segment: OpenSegment, end: int) -> None:
    """After a failed sync the kernel calls the pages clean, although the platter never got them."""
    size = end - segment.synced_to
    write_all(segment.fd, os.pread(segment.fd, size, segment.synced_to), segment.synced_to)


class Syncer:
    """The sync thread of an open spool.

    Args:
        writer: What to sync.
        table: Synced after the segments, so that a slot is never free on the platter before its family is.
        interval_s: How often, when nobody asks.
        on_synced: Called on the thread with the sequence number reached (exclusive).
    """

    def __init__(
        self,
        writer: SegmentWriter,
        table: InflightTable,
        interval_s: float,
        on_synced: Callable[[int], None],
        logger: Logger,
    ) -> None:
        self.synced_seq = writer.next_seq
        self.reason = ""
        self._writer = writer
        self._table = table
        self._interval_s = interval_s
        self._on_synced = on_synced
        self._logger = logger
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._syncing = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="weir-spool-sync", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def wait(self, seq: int) -> None:
        """Wait until the event with number ``seq`` is on the platter.

        Raises:
            SpoolWriteError: The disk refused.
        """
        if seq < self.synced_seq:
            return
        if self._stopping:
            raise SpoolWriteError(f"the spool was closed before {seq} was synced; {self.reason}")
        self._loop = asyncio.get_running_loop()
        future = self._loop.create_future()
        self._waiters.append((seq, future))
        self._wake.set()
        await future

    def stop(self) -> None:
        """End the thread after one last sync. Blocks."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        stopping = False
        try:
            while not stopping:
                self._wake.wait(self._interval_s)
                self._wake.clear()
                stopping = self._stopping
                self.sync_once()
        finally:
            if not stopping:
                self.reason = "the sync thread ended; restart this worker"

    def sync_once(self) -> None:
        """Sync what was written since the last time, and tell whoever waits. Blocks; any thread."""
        with self._syncing:
            try:
                self._sync()
                self.reason = ""
            except OSError as error:
                self.reason = f"the disk refused to sync: {error.strerror or error}"
        if self.reason:
            self._logger.error("spool sync failed", spool_id=self._writer.files.spool_id, reason=self.reason)
        if self._waiters and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, self.synced_seq, self.reason)

    def _sync(self) -> None:
        if self._writer.next_seq != self.synced_seq or self.reason:
            reached = sync_writer(self._writer)
            self.synced_seq = reached
            self._on_synced(reached)
        if self._table.dirty:
            self._table.sync()

    def _tell(self, reached: int, reason: str) -> None:
        for _ in range(len(self._waiters)):
            seq, future = self._waiters.popleft()
            if future.done():
                continue
            if seq < reached:
                future.set_result(None)
            elif reason:
                future.set_exception(SpoolWriteError(f"{reason}; free or mend the disk of the spool"))
            else:
                self._waiters.append((seq, future))
