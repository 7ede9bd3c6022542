"""The audit log's one way in: an entry, in the transaction of what it tells of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.principal import Actor
from weir_control.store.tables import audit_log


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to what. ``before`` and ``after`` hold no secrets.

    ``action`` is ``create``, ``update``, ``delete``, or another verb of a resource (``reload``, ``redrive``).
    The namespaces are the object's, None where it has none.
    """

    resource: str
    action: str
    object_id: int | None = None
    namespace_before: str | None = None
    namespace_after: str | None = None
    changed: Sequence[str] = ()
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


async def append_entry(
    connection: AsyncConnection, actor: Actor, at_us: int, entry: Entry, revision: int | None = None
) -> None:
    """Write one entry; it is there when the transaction commits, and then for good.

    Args:
        at_us: Wall clock, microseconds.
        revision: Of the configuration, where the change made one.
    """
    await connection.execute(
        insert(audit_log).values(
            at_us=at_us,
            revision=revision,
            request_id=actor.request_id,
            actor_kind=actor.kind,
            token_id=actor.token_id,
            actor_name=actor.name,
            actor_role=actor.role,
            **(msgspec.structs.asdict(entry) | {"changed": list(entry.changed)}),
        )
    )
