"""Asking for a time range of the log to be shown to one collector again, or for the first time.

A replay is a range of dead letters that nobody failed to deliver: the collectors process redrives it like any
other, and its row says how far it is and how it ended. No group's offset moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Insert, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_collectors.kinds import EventKind
from weir_collectors.ranges import RangeState
from weir_collectors.redrive_requests import request_range
from weir_collectors.tables_dead_letters import dead_letter_ranges
from weir_core.clock import rfc3339
from weir_streams.log import Bounds, Partition

_RANGES = dead_letter_ranges.c


class Replay(NamedTuple):
    """Which events, for whom. Times are microseconds since the Unix epoch, of the events themselves.

    ``from_us`` is the first moment that is included, ``to_us`` the first that is not.
    """

    collector: str
    from_us: int
    to_us: int

    @property
    def reason(self) -> str:
        """What its ranges are known by."""
        return f"replay of {rfc3339(self.from_us)} to {rfc3339(self.to_us)}"


class Replaying(NamedTuple):
    """What came of asking, in ranges: each is one kind of event in one partition of the log."""

    begun: int = 0
    continued: int = 0
    """Interrupted ones that go on where they stopped."""
    under_way: int = 0
    done: int = 0
    """Those that were replayed before, and are left alone."""


async def request_replay(
    connection: AsyncConnection,
    replay: Replay,
    places: Mapping[Partition, Bounds],
    now_us: int,
    *,
    again: bool = False,
) -> Replaying:
    """Ask for these stretches of the log. Asking twice begins nothing twice.

    Args:
        places: Where the events may be; others in between are passed over.
        again: Begin anew what was replayed before.
    """
    kinds = {kind.topic: kind for kind in EventKind}
    counts = dict.fromkeys(Replaying._fields, 0)
    for partition, bounds in sorted(places.items()):
        counts[
            await _request(connection, replay, kinds[partition.topic], partition, bounds, now_us, again)
        ] += 1
    return Replaying(**counts)


async def _request(
    connection: AsyncConnection,
    replay: Replay,
    kind: EventKind,
    partition: Partition,
    bounds: Bounds,
    now_us: int,
    again: bool,
) -> str:
    known = (
        select(_RANGES.id, _RANGES.state)
        .where(
            _RANGES.collector == replay.collector,
            _RANGES.topic == partition.topic,
            _RANGES.partition == partition.name,
            _RANGES.reason == replay.reason,
        )
        .order_by(_RANGES.id.desc())
        .limit(1)
    )
    row = (await connection.execute(known)).one_or_none()
    if row is None or (again and row.state == RangeState.REDRIVEN.value):
        await connection.execute(_row(replay, kind, partition, bounds, now_us))
        return "begun"
    if row.state == RangeState.CLOSED.value:
        await request_range(connection, row.id, now_us)
        return "continued"
    return "done" if row.state == RangeState.REDRIVEN.value else "under_way"


def _row(replay: Replay, kind: EventKind, partition: Partition, bounds: Bounds, now_us: int) -> Insert:
    return insert(dead_letter_ranges).values(
        collector=replay.collector,
        kind=kind.value,
        topic=partition.topic,
        partition=partition.name,
        first_offset=bounds.first,
        last_offset=bounds.end - 1,
        # How many there are is found out by replaying them, so none can be missing.
        events=0,
        first_timestamp_us=replay.from_us,
        last_timestamp_us=replay.to_us - 1,
        reason=replay.reason,
        opened_at_us=now_us,
        closed_at_us=now_us,
        next_offset=bounds.first,
        redriven=0,
        failed=0,
        missing=0,
        state=RangeState.REQUESTED.value,
        requested_at_us=now_us,
    )
