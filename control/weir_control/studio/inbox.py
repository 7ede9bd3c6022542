"""The database's side of delivering payloads: taken in once, handed out in order, kept until they are done.

Between the log and the studio plugins, so that a plugin that is away holds neither the log's offset nor
another plugin's payloads, and so that tries are counted through restarts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from weir_collectors.database import reading, translated
from weir_collectors.records import insert_new
from weir_collectors.retention import Aging
from weir_control.studio.tables import edge_payloads
from weir_core.clock import Clock
from weir_streams.payloads import EdgePayload, decode_payload

_COLUMNS = edge_payloads.c
_FAILED: Final = "edge payloads cannot be read or written now"


class PayloadState(StrEnum):
    """Where a payload stands."""

    WAITING = "waiting"
    FAILED = "failed"
    """A dead letter: given up, until somebody asks for a redrive."""


class Lane(NamedTuple):
    """What is delivered in order: the payloads of one plugin at one edge."""

    edge_namespace: str
    edge_id: str
    plugin_id: int


class Waiting(NamedTuple):
    """A payload that is to be delivered, after ``tries`` in vain."""

    row_id: int
    payload: EdgePayload
    sent_at_us: int
    received_at_us: int
    tries: int
    next_try_at_us: int
    last_error: str = ""


class Arrival(NamedTuple):
    """A payload out of the log."""

    payload: EdgePayload
    sent_at_us: int
    value: bytes


class Inbox:
    """Payloads in the database.

    Args:
        engine: From ``create_engine``; its owner disposes of it.
        clock: For the times of changes.

    Raises, all methods:
        DatabaseUnavailableError: Nothing was changed; the same call may succeed later.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def take_in(self, arrivals: Sequence[Arrival]) -> Collection[Lane]:
        """Keep payloads that are not kept already; return the lanes that have new ones."""
        if not arrivals:
            return ()
        now_us = self._clock.wall_us()
        rows = [_row(arrival, now_us) for arrival in arrivals]
        with translated(_FAILED):
            async with self._engine.begin() as connection:
                await connection.execute(insert_new(edge_payloads, connection.dialect.name), rows)
        return {lane_of(arrival.payload) for arrival in arrivals}

    async def lanes(self) -> Collection[Lane]:
        """Where something waits."""
        waiting = select(_COLUMNS.edge_namespace, _COLUMNS.edge_id, _COLUMNS.plugin_id).where(
            _COLUMNS.state == PayloadState.WAITING
        )
        with translated(_FAILED):
            async with reading(self._engine) as connection:
                return {Lane(*row) for row in (await connection.execute(waiting.distinct())).all()}

    async def next_of(self, lane: Lane, most: int) -> Sequence[Waiting]:
        """The first payloads of a lane."""
        first = (
            select(edge_payloads)
            .where(
                and_(
                    _COLUMNS.state == PayloadState.WAITING,
                    _COLUMNS.edge_namespace == lane.edge_namespace,
                    _COLUMNS.edge_id == lane.edge_id,
                    _COLUMNS.plugin_id == lane.plugin_id,
                )
            )
            .order_by(_COLUMNS.id)
            .limit(most)
        )
        with translated(_FAILED):
            async with reading(self._engine) as connection:
                rows = (await connection.execute(first)).mappings().all()
        return [
            Waiting(
                row["id"],
                decode_payload(row["value"]),
                row["sent_at_us"],
                row["received_at_us"],
                row["tries"],
                row["next_try_at_us"],
                row["last_error"],
            )
            for row in rows
        ]

    async def finish(self, delivered: Sequence[int]) -> None:
        """Forget payloads that a plugin has."""
        if delivered:
            with translated(_FAILED):
                async with self._engine.begin() as connection:
                    await connection.execute(delete(edge_payloads).where(_COLUMNS.id.in_(delivered)))

    async def try_later(
        self, waiting: Waiting, next_try_at_us: int, error: str, unquoted: str | None = None
    ) -> None:
        """Count a try in vain; ``unquoted`` is the error without a plugin's words, if it has any."""
        await self._change(
            waiting.row_id,
            tries=waiting.tries + 1,
            next_try_at_us=next_try_at_us,
            **_reasons(error, unquoted),
        )

    async def explain(self, waiting: Waiting, reason: str, unquoted: str | None = None) -> None:
        """Keep what a payload waits for, which is no try in vain."""
        if _plain(reason) != waiting.last_error:
            await self._change(waiting.row_id, **_reasons(reason, unquoted))

    async def bury(self, waiting: Waiting, tries: int, reason: str, unquoted: str | None = None) -> None:
        """Make a payload a dead letter."""
        await self._change(
            waiting.row_id,
            state=PayloadState.FAILED.value,
            tries=tries,
            **_reasons(reason, unquoted),
            failed_at_us=self._clock.wall_us(),
        )

    async def counts(self) -> dict[str, int]:
        """How many payloads there are, by state."""
        with translated(_FAILED):
            async with reading(self._engine) as connection:
                return await count_payloads(connection)

    async def _change(self, row_id: int, **values: object) -> None:
        with translated(_FAILED):
            async with self._engine.begin() as connection:
                await connection.execute(update(edge_payloads).where(_COLUMNS.id == row_id).values(**values))


def dead_letters_of(days: float) -> Aging:
    """The dead letters that go so many days after they were given up."""
    return Aging(edge_payloads, _COLUMNS.failed_at_us, days, (_COLUMNS.state == PayloadState.FAILED.value,))


async def count_payloads(connection: AsyncConnection) -> dict[str, int]:
    """How many payloads there are, by ``PayloadState``; a state without any is left out."""
    counted = select(_COLUMNS.state, func.count()).group_by(_COLUMNS.state)
    return {row[0]: row[1] for row in (await connection.execute(counted)).all()}


async def revive(connection: AsyncConnection, row_id: int, now_us: int) -> bool:
    """Let a dead letter wait again, behind what waits and with all its tries; whether there was one."""
    dead = and_(_COLUMNS.id == row_id, _COLUMNS.state == PayloadState.FAILED)
    row = (await connection.execute(select(edge_payloads).where(dead))).mappings().one_or_none()
    if row is None:
        return False
    await connection.execute(delete(edge_payloads).where(dead))
    fresh = {name: row[name] for name in row if name != "id"} | {
        "state": PayloadState.WAITING.value,
        "tries": 0,
        "next_try_at_us": 0,
        "received_at_us": now_us,
        "failed_at_us": None,
    }
    await connection.execute(insert(edge_payloads).values(fresh))
    return True


def lane_of(payload: EdgePayload) -> Lane:
    """The lane that a payload belongs to."""
    return Lane(_plain(payload.edge_namespace), _plain(payload.edge_id), payload.plugin_id)


def _row(arrival: Arrival, now_us: int) -> dict[str, object]:
    lane = lane_of(arrival.payload)
    return lane._asdict() | {
        "event_id": _plain(arrival.payload.event_id),
        "sent_at_us": arrival.sent_at_us,
        "received_at_us": now_us,
        "state": PayloadState.WAITING.value,
        "tries": 0,
        "next_try_at_us": 0,
        "last_error": "",
        "value": arrival.value,
    }


def _reasons(error: str, unquoted: str | None) -> dict[str, str | None]:
    return {
        "last_error": _plain(error),
        "last_error_unquoted": None if unquoted is None else _plain(unquoted),
    }


def _plain(text: str) -> str:
    """A text that every database takes."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
