"""Looking at changed windows for what raises an alert, and keeping alerts until they have arrived.

An alert is kept with the versions of the windows that raised it, in one transaction, so that each crossing
raises one whoever is killed. Every call blocks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from weir_streams.windows.messages import Alert, alert_value
from weir_streams.windows.rules import AppWindow, LlmWindow, Rules, app_alerts, llm_alerts
from weir_streams.windows.store import Window, WindowStore
from weir_streams.windows.sums import US_PER_S, Sums, WindowKey

_MOST: Final = 1000
_NEWS_FOR_S: Final = 3600
_DECODER: Final = msgspec.json.Decoder(Alert)


class Kept(NamedTuple):
    """An alert that has not arrived everywhere, and when it was raised (microseconds since the epoch)."""

    alert: Alert
    value: bytes
    raised_us: int


class Judge:
    """Finds alerts in a store.

    Args:
        store: Whose windows to look at.
        rules: What raises an alert.
        posts: Whether alerts are also to be posted.
    """

    def __init__(self, store: WindowStore, rules: Rules, *, posts: bool) -> None:
        self._store = store
        self._posts = posts
        self._rules = rules

    def judge(self, now_us: int) -> int:
        """Look at what has changed since the last time; return the number of new alerts.

        Windows that ended more than an hour ago raise none: an alert is about now.
        """
        oldest_s = max(now_us // US_PER_S - _NEWS_FOR_S - self._store.length_s, self._store.complete_from_s)
        with self._store.reading() as connection:
            changed = _changed(connection)
            recent = [window.key for window in changed if window.key.start_s >= oldest_s]
            raised = sum(
                self._keep(connection, start_s, alert, now_us)
                for start_s, alert in self._found(connection, recent)
            )
            self._store.judged(changed)
        return raised

    def waiting(self, where: Literal["published", "posted"], most: int = _MOST) -> list[Kept]:
        """Alerts that have not been published, or not been posted, the oldest first."""
        with self._store.reading() as connection:
            rows = connection.execute(
                f"SELECT value, raised_us FROM alerts WHERE NOT {where} ORDER BY raised_us LIMIT ?",  # noqa: S608
                (most,),
            ).fetchall()
        return [Kept(_DECODER.decode(value), value, raised_us) for value, raised_us in rows]

    def arrived(self, where: Literal["published", "posted"], alerts: Iterable[Kept]) -> None:
        """Take note that alerts need not be published, or posted, any more."""
        with self._store.reading() as connection:
            connection.executemany(
                f"UPDATE alerts SET {where} = 1 WHERE alert_id = ?",  # noqa: S608
                [(kept.alert.alert_id,) for kept in alerts],
            )

    def _found(self, connection: sqlite3.Connection, changed: list[WindowKey]) -> Iterator[tuple[int, Alert]]:
        """What changed windows raise, each with its window's beginning."""
        length_s = self._store.length_s
        for start_s, app_id, currency in sorted({(key.start_s, key.app_id, key.currency) for key in changed}):
            window = self._of_app(connection, start_s, app_id, currency)
            yield from ((start_s, alert) for alert in app_alerts(self._rules, window, length_s))
        for start_s, llm_id in sorted({(key.start_s, key.llm_id) for key in changed}):
            llm = LlmWindow(start_s, llm_id, *_counted(connection, "llm_id = ?", start_s, llm_id)[1:])
            yield from ((start_s, alert) for alert in llm_alerts(self._rules, llm, length_s))

    def _of_app(self, connection: sqlite3.Connection, start_s: int, app_id: int, currency: str) -> AppWindow:
        cost, requests, errors = _counted(
            connection, "app_id = ? AND currency = ?", start_s, app_id, currency
        )
        earlier = connection.execute(
            "SELECT SUM(cost_nano) AS cost FROM windows WHERE app_id = ? AND currency = ? AND start_s < ? "
            "AND start_s >= ? GROUP BY start_s HAVING cost > 0 ORDER BY start_s DESC LIMIT ?",
            (app_id, currency, start_s, self._store.complete_from_s, self._rules.spike_windows),
        )
        return AppWindow(start_s, app_id, currency, cost, [row[0] for row in earlier], requests, errors)

    def _keep(self, connection: sqlite3.Connection, start_s: int, alert: Alert, now_us: int) -> int:
        added = connection.execute(
            "INSERT OR IGNORE INTO alerts (alert_id, start_s, value, raised_us, posted) "
            "VALUES (?, ?, ?, ?, ?)",
            (alert.alert_id, start_s, alert_value(alert), now_us, not self._posts),
        )
        return added.rowcount


def _changed(connection: sqlite3.Connection) -> list[Window]:
    """Windows that have not been looked at as they are now, the newest first."""
    rows = connection.execute(
        f"SELECT {', '.join(WindowKey._fields)}, version FROM windows WHERE judged < version "  # noqa: S608
        "ORDER BY start_s DESC LIMIT ?",
        (_MOST,),
    )
    return [Window(WindowKey(*row[:-1]), Sums(), row[-1]) for row in rows]


def _counted(
    connection: sqlite3.Connection, where: str, start_s: int, *values: int | str
) -> tuple[int, int, int]:
    """Cost, requests and errors of some windows that begin together."""
    row = connection.execute(
        f"SELECT SUM(cost_nano), SUM(requests), SUM(errors) FROM windows WHERE start_s = ? AND {where}",  # noqa: S608
        (start_s, *values),
    ).fetchone()
    return row[0], row[1], row[2]
