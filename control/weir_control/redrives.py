"""Asking for dead letters to be delivered again, and who asked: the same for the API and the command line."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_collectors.dead_letter_queries import find_letter, find_range
from weir_collectors.redrive_requests import Requested, request_collector, request_letter, request_range
from weir_control.principal import Actor
from weir_control.store.audit import Entry, append_entry
from weir_control.store.namespaces import namespace_of_event

_ACTION = "redrive"


async def redrive_letter(
    connection: AsyncConnection, actor: Actor, letter_id: int, now_us: int, *only: ColumnElement[bool]
) -> RowMapping:
    """Ask for one dead letter; returns it as it stands then.

    Args:
        only: What the asker may see.

    Raises:
        NoDeadLetterError: There is none with this id.
    """
    await find_letter(connection, letter_id, *only)
    await request_letter(connection, letter_id, now_us)
    row = await find_letter(connection, letter_id, *only)
    entry = Entry(
        resource="dead-letters",
        object_id=letter_id,
        action=_ACTION,
        namespace_after=await namespace_of_event(connection, row),
        after={"collector": row["collector"], "event_id": row["event_id"]},
    )
    await append_entry(connection, actor, now_us, entry)
    return row


async def redrive_range(connection: AsyncConnection, actor: Actor, range_id: int, now_us: int) -> RowMapping:
    """Ask for one range, which then grows no more; returns it as it stands then.

    Raises:
        NoDeadLetterError: There is none with this id.
    """
    await request_range(connection, range_id, now_us)
    row = await find_range(connection, range_id)
    after: dict[str, Any] = {"collector": row["collector"]}
    entry = Entry(resource="dead-letter-ranges", object_id=range_id, action=_ACTION, after=after)
    await append_entry(connection, actor, now_us, entry)
    return row


async def redrive_collector(
    connection: AsyncConnection, actor: Actor, collector: str, now_us: int
) -> Requested:
    """Ask for everything that a collector, named by its slug, did not get."""
    requested = await request_collector(connection, collector, now_us)
    after = {"collector": collector, "letters": requested.letters, "ranges": requested.ranges}
    entry = Entry(resource="dead-letters", action=_ACTION, after=after)
    await append_entry(connection, actor, now_us, entry)
    return requested
