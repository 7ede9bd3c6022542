"""The spool directories below the data directory: which one is mine, which have lost their owner."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from weir_core.clock import Clock
from weir_streams.durable import sync_directory
from weir_streams.errors import SpoolError, SpoolFormatError
from weir_streams.inflight import FILE_NAME as TABLE_NAME
from weir_streams.inflight import InflightTable
from weir_streams.locking import DirectoryLock
from weir_streams.recovery import recover_orphans
from weir_streams.repair import resume_writer
from weir_streams.reports import Damage, Logger
from weir_streams.retention import Retention
from weir_streams.segment_files import SegmentFiles
from weir_streams.settings import SpoolSettings
from weir_streams.syncing import sync_writer
from weir_streams.writer import SegmentWriter

_OWNER_NAME: Final = "owner"
_SWEPT_S: Final = 5.0
_LOOK_AGAIN_S: Final = 0.02


def spool_directories(root: Path) -> list[Path]:
    """Every spool below a data directory, by name."""
    try:
        return sorted(path for path in (root / "spool").iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def owner_of(directory: Path) -> str:
    """The name of the worker whose spool this is; empty where it has none."""
    try:
        return (directory / _OWNER_NAME).read_text()
    except FileNotFoundError:
        return ""


class Owned(NamedTuple):
    """A locked, mended and recovered directory."""

    lock: DirectoryLock
    files: SegmentFiles
    writer: SegmentWriter
    table: InflightTable

    def settle(self) -> None:
        """Seal and sync what was written and give unused room back to the disk. Blocks.

        Raises:
            OSError: The disk refused; the next owner mends the directory.
        """
        self.writer.finish()
        sync_writer(self.writer)
        self.files.drop_spares()
        self.table.sync()

    def close(self) -> None:
        """Close everything as it is and give the directory up."""
        self.writer.abandon()
        self.table.close()
        self.lock.release()


class SpoolHome:
    """``<data directory>/spool``.

    Args:
        root: The data directory; made when absent.
        settings: Sizes and retention.
        clock: Stamps what recovery writes.
        logger: Told about damage, recoveries and directories that cannot be opened.
    """

    def __init__(self, root: Path, settings: SpoolSettings, clock: Clock, logger: Logger) -> None:
        self._root = root
        self._settings = settings
        self._clock = clock
        self._logger = logger

    def claim(self, owner: str = "") -> Owned:
        """Own the directory of this name, one that nobody owns, or a new one. Blocks.

        Raises:
            SpoolError, OSError: A new directory cannot be made or used.
        """
        return self._claim_existing(owner) or self._claim_new(owner)

    def _claim_existing(self, owner: str) -> Owned | None:
        named = {directory: owner_of(directory) for directory in spool_directories(self._root)}
        for name in dict.fromkeys((owner, "")):
            for directory in (directory for directory, of in named.items() if of == name):
                owned = self._patiently_own(directory) if name else self._try_own(directory)
                if owned is not None:
                    _name_owner(directory, owner)
                    return owned
        return None

    def _claim_new(self, owner: str) -> Owned:
        while True:
            directory = self._make()
            owned = self._own(directory)
            if owned is not None:
                _name_owner(directory, owner)
                return owned

    def _patiently_own(self, directory: Path) -> Owned | None:
        """Own a worker's own directory, which a sibling may be sweeping at this moment."""
        until = self._clock.monotonic() + _SWEPT_S
        while (owned := self._try_own(directory)) is None and self._clock.monotonic() < until:
            time.sleep(_LOOK_AGAIN_S)
        return owned

    def sweep(self, retention: Retention) -> None:
        """Recover every directory without an owner, apply retention, remove what is long empty. Blocks."""
        for directory in spool_directories(self._root):
            owned = self._try_own(directory)
            if owned is not None:
                self._tidy(owned, retention)

    def _tidy(self, owned: Owned, retention: Retention) -> None:
        directory = owned.files.directory
        try:
            owned.settle()
            retention.apply(directory)
            if retention.is_spent(directory):
                _remove(directory)
        except OSError as error:
            self._refused(directory, error)
        finally:
            owned.close()

    def _make(self) -> Path:
        directory = self._root / "spool" / os.urandom(6).hex()
        directory.mkdir(mode=0o700, parents=True)
        sync_directory(directory.parent)
        sync_directory(self._root)
        return directory

    def _try_own(self, directory: Path) -> Owned | None:
        """Own an existing directory; one that cannot be opened is left as it is, for a later try."""
        try:
            return self._own(directory)
        except (OSError, SpoolError) as error:
            self._refused(directory, error)
            return None

    def _refused(self, directory: Path, error: Exception) -> None:
        self._logger.error("spool directory cannot be used", directory=str(directory), reason=str(error))

    def _own(self, directory: Path) -> Owned | None:
        lock = DirectoryLock.take(directory)
        if lock is None:
            return None
        with contextlib.ExitStack() as undo:
            undo.callback(lock.release)
            files = SegmentFiles(directory, self._settings)
            table = self._open_table(directory)
            undo.callback(table.close)
            given = max((orphan.admitted.first_seq for orphan in table.orphans()[0]), default=0)
            writer = resume_writer(files, self._clock, self._report, given)
            undo.callback(writer.abandon)
            recover_orphans(
                table,
                writer,
                reserve=self._settings.slot_reserve_bytes,
                currency=self._settings.currency,
                clock=self._clock,
                logger=self._logger,
            )
            table.resize(self._settings.slots)
            undo.pop_all()
        return Owned(lock, files, writer, table)

    def _open_table(self, directory: Path) -> InflightTable:
        try:
            return InflightTable.open(directory, self._settings.slots)
        except SpoolFormatError as error:
            reason = str(error)
        kept = directory / f"{TABLE_NAME}.damaged-{self._clock.wall_us()}"
        (directory / TABLE_NAME).rename(kept)
        self._logger.error("in-flight table set aside", kept=str(kept), reason=reason)
        return InflightTable.open(directory, self._settings.slots)

    def _report(self, damage: Damage) -> None:
        self._logger.error("spool damaged", **msgspec.structs.asdict(damage))


def _name_owner(directory: Path, owner: str) -> None:
    if owner and owner_of(directory) != owner:
        (directory / _OWNER_NAME).write_text(owner)
        sync_directory(directory)


def _remove(directory: Path) -> None:
    """Remove an empty spool's directory; whoever locks it in between keeps it, with a lock of its own."""
    for path in directory.iterdir():
        path.unlink()
    with contextlib.suppress(OSError):
        directory.rmdir()
