"""Events of a stretch of the log that the log has lost and the records still have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from weir_collectors.database import reading, translated
from weir_collectors.decoding import ReadEvent, read_event
from weir_collectors.kinds import EventKind
from weir_collectors.tables import RECORDS
from weir_streams.log import LogRecord, Partition

_PAGE: Final = 256


class LostStretch(NamedTuple):
    """What to look for: offsets from ``first`` up to and without ``end``, of events of these moments."""

    kind: EventKind
    spool_id: str
    first: int
    end: int
    first_timestamp_us: int
    last_timestamp_us: int


class _Place(msgspec.Struct):
    spool_id: str = ""
    spool_seq: int = -1


_PLACE: Final = msgspec.json.Decoder(_Place)


async def recorded_events(engine: AsyncEngine, lost: LostStretch) -> AsyncIterator[Sequence[ReadEvent]]:
    """The events of a stretch that are among the records, in batches by their moments.

    An event knows its place in the spool that it was written to, so this finds nothing of a log whose
    offsets are not the spool's.

    Raises:
        DatabaseUnavailableError: The records cannot be read now.
    """
    table = RECORDS[lost.kind]
    after = (lost.first_timestamp_us, 0)
    while True:
        page = (
            select(table.c.timestamp_us, table.c.id, table.c.value)
            .where(
                tuple_(table.c.timestamp_us, table.c.id) > after,
                table.c.timestamp_us <= lost.last_timestamp_us,
            )
            .order_by(table.c.timestamp_us, table.c.id)
            .limit(_PAGE)
        )
        with translated("records cannot be read now"):
            async with reading(engine) as connection:
                rows = (await connection.execute(page)).all()
        found = [event for row in rows if (event := _event(lost, row.value)) is not None]
        if found:
            yield found
        if len(rows) < _PAGE:
            return
        after = (rows[-1].timestamp_us, rows[-1].id)


def _event(lost: LostStretch, value: str) -> ReadEvent | None:
    place = _PLACE.decode(value)
    if place.spool_id != lost.spool_id or not lost.first <= place.spool_seq < lost.end:
        return None
    partition = Partition(lost.kind.topic, lost.spool_id)
    return read_event(LogRecord(partition, place.spool_seq, b"", value.encode()))
