"""A look at the windows' file from outside, beside a process that writes it or without one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec

from weir_streams.errors import StoreBrokenError
from weir_streams.windows.sums import US_PER_S

_COUNTS = """
SELECT (SELECT count(*) FROM windows WHERE published < version),
       (SELECT count(*) FROM alerts WHERE published = 0)
"""


class StoreFacts(msgspec.Struct, frozen=True):
    """``in_use`` says that a process works on it, or that the last one did not end cleanly.

    Windows that begin before ``complete_from_us`` may lack events; ``unpublished`` windows and
    ``unpublished_alerts`` are not on their topics as they stand.
    """

    store_id: str
    length_s: int
    in_use: bool
    complete_from_us: int
    unpublished: int
    unpublished_alerts: int


def look_at_store(path: Path) -> StoreFacts:
    """Read what a file says of itself; nothing is changed. Blocks.

    Raises:
        StoreBrokenError: It is damaged, or of another version.
    """
    try:
        with closing(sqlite3.connect(_uri(path), uri=True)) as connection:
            facts = dict(connection.execute("SELECT name, value FROM facts").fetchall())
            windows, alerts = connection.execute(_COUNTS).fetchone()
        return StoreFacts(
            store_id=facts["store_id"],
            length_s=int(facts["length_s"]),
            in_use=facts["in_use"] == "1",
            complete_from_us=int(facts["complete_from_s"]) * US_PER_S,
            unpublished=windows,
            unpublished_alerts=alerts,
        )
    except (sqlite3.Error, KeyError, ValueError) as error:
        raise StoreBrokenError(f"{path} cannot be used: {error}") from error


def _uri(path: Path) -> str:
    # A reader of a file that nobody has open would leave a log of its own user beside it.
    how = "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    return f"file:{quote(str(path))}?{how}"
