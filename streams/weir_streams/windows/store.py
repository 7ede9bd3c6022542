"""The windows on disk: sums, marks and the place to read on from move in one transaction.

So a killed process loses nothing and counts nothing twice, whatever Kafka or Faust think was read. One SQLite
file; every call blocks, and one thread at a time may make them.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from weir_streams.billed import Batch, Billed, Mark
from weir_streams.errors import StoreBrokenError
from weir_streams.log import Partition
from weir_streams.windows.sums import US_PER_S, Sums, WindowKey, add_up, key_of

_FORMAT: Final = "1"
_KEY: Final = ", ".join(WindowKey._fields)
_SUMS: Final = ", ".join(Sums._fields)
_SCHEMA: Final = f"""
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE places (topic TEXT, partition TEXT, next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE marks (topic TEXT, partition TEXT, spool_id TEXT, number INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, spool_id)) WITHOUT ROWID;
CREATE TABLE seen (event_id TEXT PRIMARY KEY, start_s INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE windows (
    start_s INTEGER, app_id INTEGER, llm_id INTEGER, model_name TEXT, currency TEXT,
    {", ".join(f"{name} INTEGER NOT NULL" for name in Sums._fields)},
    version INTEGER NOT NULL DEFAULT 1,
    published INTEGER NOT NULL DEFAULT 0,
    judged INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY ({_KEY})) WITHOUT ROWID;
CREATE INDEX unpublished ON windows (start_s) WHERE published < version;
CREATE INDEX unjudged ON windows (start_s) WHERE judged < version;
CREATE INDEX by_app ON windows (app_id, currency, start_s);
CREATE TABLE alerts (alert_id TEXT PRIMARY KEY, start_s INTEGER NOT NULL, value BLOB NOT NULL,
    raised_us INTEGER NOT NULL, published INTEGER NOT NULL DEFAULT 0, posted INTEGER NOT NULL DEFAULT 0)
    WITHOUT ROWID;
"""
_ADD: Final = f"""
INSERT INTO windows ({_KEY}, {_SUMS})
VALUES ({", ".join("?" * (len(WindowKey._fields) + len(Sums._fields)))})
ON CONFLICT DO UPDATE SET version = version + 1,
    {", ".join(f"{name} = {name} + excluded.{name}" for name in Sums._fields)}
"""  # noqa: S608 - names of this module, no input


Call = Callable[..., Awaitable[Any]]
"""Runs a blocking call of the store, with its arguments, where it holds nothing up."""


class Place(NamedTuple):
    """Up to where the windows are made: the next offset by partition, and the marks of repeated events."""

    offsets: Mapping[Partition, int]
    marks: Mapping[Mark, int]


class Added(NamedTuple):
    """What became of a batch's events. ``late`` ones belong to windows that are not kept any more."""

    added: int
    repeated: int
    late: int


class Window(NamedTuple):
    """A window as it stands at one version."""

    key: WindowKey
    sums: Sums
    version: int


class WindowStore:
    """Made by ``open``. ``length_s`` is that of its windows.

    Args:
        connection: In autocommit mode.
        length_s: Seconds.
    """

    def __init__(self, connection: sqlite3.Connection, length_s: int) -> None:
        self.length_s = length_s
        self._connection = connection

    @classmethod
    def open(cls, path: Path, length_s: int) -> Self:
        """Open the file, or make it.

        Raises:
            StoreBrokenError: It is damaged, of another version or of windows of another length.
        """
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        store = cls(connection, length_s)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            if not connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
                store._make()
            store._check(path)
        except (sqlite3.Error, StoreBrokenError) as error:
            connection.close()
            raise StoreBrokenError(f"{path} cannot be used: {error}") from error
        return store

    @property
    def store_id(self) -> str:
        """Its name, which a file that is made anew does not have."""
        return self._fact("store_id")

    @property
    def complete_from_s(self) -> int:
        """Windows that begin earlier may lack events which Kafka had deleted before they were read."""
        return int(self._fact("complete_from_s"))

    def began(self) -> bool:
        """Take note that a process adds to it; whether the last one did not end cleanly."""
        unclean = self._fact("in_use") == "1"
        self._note("in_use", "1")
        return unclean

    def ended(self) -> None:
        """Take note of a clean end, and close."""
        self._note("in_use", "0")
        self._connection.close()

    def place(self) -> Place:
        """Where to read on."""
        offsets = self._connection.execute("SELECT topic, partition, next_offset FROM places")
        marks = self._connection.execute("SELECT topic, partition, spool_id, number FROM marks")
        return Place(
            {Partition(topic, name): offset for topic, name, offset in offsets},
            {Mark(Partition(topic, name), spool): number for topic, name, spool, number in marks},
        )

    def add(self, batch: Batch, *, horizon_s: int, complete_from_s: int = 0) -> Added:
        """Add a batch's events and move on to behind it, in one transaction.

        Args:
            batch: Made with the marks of ``place`` and of all batches since.
            horizon_s: Windows that begin earlier are not added to.
            complete_from_s: From where on windows are whole, when events before this batch are lost.
        """
        with self._transaction() as connection:
            fresh = [billed for billed in batch.events if self._is_fresh(billed)]
            windows = add_up(fresh, self.length_s)
            kept = {key: sums for key, sums in windows.items() if key.start_s >= horizon_s}
            connection.executemany(_ADD, [(*key, *sums) for key, sums in kept.items()])
            self._move(batch)
            if complete_from_s > self.complete_from_s:
                self._note("complete_from_s", str(complete_from_s))
        late = sum(key_of(billed, self.length_s).start_s < horizon_s for billed in fresh)
        repeated = batch.repeated + len(batch.events) - len(fresh)
        return Added(len(fresh) - late, repeated, late)

    def unpublished(self, most: int) -> list[Window]:
        """Whole windows that were changed since they were published, the oldest first."""
        rows = self._connection.execute(
            f"SELECT {_KEY}, {_SUMS}, version FROM windows WHERE published < version AND start_s >= ? "  # noqa: S608
            "ORDER BY start_s LIMIT ?",
            (self.complete_from_s, most),
        )
        return [_window(row) for row in rows]

    def published(self, windows: Iterable[Window]) -> None:
        """Take note that these versions are on the topic."""
        self._mark("published", windows)

    def fallen(self, horizon_s: int, most: int) -> list[WindowKey]:
        """Windows that are not kept any longer."""
        rows = self._connection.execute(
            f"SELECT {_KEY} FROM windows WHERE start_s < ? LIMIT ?",  # noqa: S608
            (horizon_s, most),
        )
        return [WindowKey(*row) for row in rows]

    def forget(self, keys: Sequence[WindowKey], horizon_s: int) -> None:
        """Remove windows, and what was kept for their sake."""
        with self._transaction() as connection:
            where = " AND ".join(f"{name} = ?" for name in WindowKey._fields)
            connection.executemany(f"DELETE FROM windows WHERE {where}", keys)  # noqa: S608
            connection.execute("DELETE FROM seen WHERE start_s < ?", (horizon_s,))
            connection.execute("DELETE FROM alerts WHERE start_s < ? AND published AND posted", (horizon_s,))

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """For those that look at windows and keep what they made of them beside these, in one transaction."""
        with self._transaction() as connection:
            yield connection

    def judged(self, windows: Iterable[Window]) -> None:
        """Take note that these versions raised what alerts they raise."""
        self._mark("judged", windows)

    def _mark(self, what: str, windows: Iterable[Window]) -> None:
        where = " AND ".join(f"{name} = ?" for name in WindowKey._fields)
        rows = [(window.version, *window.key) for window in windows]
        self._connection.executemany(f"UPDATE windows SET {what} = ? WHERE {where}", rows)  # noqa: S608

    def _is_fresh(self, billed: Billed) -> bool:
        """Whether an event is new. Those of a spool are known by their numbers, others by their ids."""
        event = billed.event
        if event.spool_id or not event.event_id:
            return True
        start_s = key_of(billed, self.length_s).start_s
        added = self._connection.execute(
            "INSERT OR IGNORE INTO seen VALUES (?, ?)", (event.event_id, start_s)
        )
        return added.rowcount == 1

    def _move(self, batch: Batch) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO places VALUES (?, ?, ?)",
            [(*partition, offset) for partition, offset in batch.offsets.items()],
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)",
            [(*mark.partition, mark.spool_id, number) for mark, number in batch.marks.items()],
        )

    def _make(self) -> None:
        with self._transaction() as connection:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            facts = {
                "format": _FORMAT,
                "length_s": str(self.length_s),
                "store_id": uuid.uuid4().hex[:12],
                "complete_from_s": "0",
                "in_use": "0",
            }
            connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())

    def _check(self, path: Path) -> None:
        if self._fact("format") != _FORMAT:
            raise StoreBrokenError(f"{path} is of another version")
        if self._fact("length_s") != str(self.length_s):
            raise StoreBrokenError(f"its windows have {self._fact('length_s')} s, not {self.length_s}")
        if self._fact("in_use") == "1":
            [(found,)] = self._connection.execute("PRAGMA quick_check(1)").fetchall()
            if found != "ok":
                raise StoreBrokenError(str(found))

    def _fact(self, name: str) -> str:
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise StoreBrokenError(f"it does not say its {name}")
        return str(row[0])

    def _note(self, name: str, value: str) -> None:
        self._connection.execute("UPDATE facts SET value = ? WHERE name = ?", (value, name))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def open_store(path: Path, length_s: int) -> tuple[WindowStore, str | None]:
    """Open the store, or begin a new one in the place of one that cannot be used; then why, too. Blocks."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return WindowStore.open(path, length_s), None
    except StoreBrokenError as error:
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            name.unlink(missing_ok=True)
        return WindowStore.open(path, length_s), str(error)


def seconds(timestamp_us: int) -> int:
    """The first full second that is not before a moment."""
    return -(-timestamp_us // US_PER_S)


def _window(row: Sequence[int | str]) -> Window:
    split = len(WindowKey._fields)
    return Window(WindowKey(*row[:split]), Sums(*row[split:-1]), int(row[-1]))  # type: ignore[arg-type]
