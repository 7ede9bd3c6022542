"""What every kind of object needs of the database: find, list, insert, change, delete."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.errors import ConflictError, FieldError, NotFoundError
from weir_control.principal import Principal
from weir_control.store.kinds import Kind
from weir_control.store.store import Change


async def fetch(
    connection: AsyncConnection, kind: Kind, object_id: int, *where: ColumnElement[bool]
) -> RowMapping:
    """Return one object's row.

    Raises:
        NotFoundError: There is none with this id (or none for which ``where`` holds).
    """
    found = await connection.execute(select(kind.table).where(kind.table.c.id == object_id, *where))
    row = found.mappings().one_or_none()
    if row is None:
        raise not_found(kind, object_id)
    return row


async def fetch_page(
    connection: AsyncConnection, kind: Kind, *where: ColumnElement[bool], limit: int, offset: int
) -> tuple[Sequence[RowMapping], int]:
    """Return one page of rows in the order of their ids, and how many there are in all."""
    table = kind.table
    total = (await connection.execute(select(func.count()).select_from(table).where(*where))).scalar_one()
    page = select(table).where(*where).order_by(table.c.id).limit(limit).offset(offset)
    return (await connection.execute(page)).mappings().all(), total


async def add(change: Change, kind: Kind, values: Mapping[str, Any]) -> int:
    """Insert an object and return its id."""
    stamps = {"revision": change.revision, "created_at_us": change.now_us, "updated_at_us": change.now_us}
    statement = insert(kind.table).values(**values, **stamps).returning(kind.table.c.id)
    object_id: int = (await change.connection.execute(statement)).scalar_one()
    change.journal.note_new(kind, object_id)
    await change.touch(kind.name, object_id)
    return object_id


async def put(change: Change, kind: Kind, object_id: int, values: Mapping[str, Any]) -> None:
    """Change an object that is known to exist.

    To be called before anything else of the object is changed, so that the journal knows it as it was.
    """
    await change.journal.note(kind, object_id)
    stamps = {"revision": change.revision, "updated_at_us": change.now_us}
    await change.connection.execute(
        update(kind.table).where(kind.table.c.id == object_id).values(**values, **stamps)
    )
    await change.touch(kind.name, object_id)


async def remove(change: Change, kind: Kind, object_id: int, *where: ColumnElement[bool]) -> None:
    """Delete an object.

    Raises:
        NotFoundError: There is none.
    """
    await change.journal.note(kind, object_id)
    await change.journal.note_dependents(kind, object_id)
    gone = await change.connection.execute(delete(kind.table).where(kind.table.c.id == object_id, *where))
    if gone.rowcount == 0:
        raise not_found(kind, object_id)
    await change.touch(kind.name, object_id)


async def missing_ids(
    connection: AsyncConnection, kind: Kind, ids: Collection[int], *where: ColumnElement[bool]
) -> set[int]:
    """Those of ``ids`` that no object has (or none for which ``where`` holds)."""
    found = await connection.execute(select(kind.table.c.id).where(kind.table.c.id.in_(ids), *where))
    return set(ids) - set(found.scalars())


async def refuse_taken_slug(
    connection: AsyncConnection, caller: Principal, kind: Kind, slug: str, own_id: int | None = None
) -> None:
    """Check that no other object of this kind has the slug, in any namespace: slugs stand in URLs.

    Raises:
        ConflictError: One has, and the message names it if the caller can see it.
    """
    columns = kind.table.c
    found = await connection.execute(select(columns.id, columns.namespace).where(columns.slug == slug))
    taken_by = found.one_or_none()
    if taken_by is not None and taken_by.id != own_id:
        seen = caller.reaches(taken_by.namespace)
        owner = f"{kind.words} {taken_by.id}" if seen else "another namespace"
        raise ConflictError(
            f"The slug {slug!r} belongs to {owner}; choose another.",
            [FieldError("slug", "taken", f"belongs to {owner}")],
        )


def not_found(kind: Kind, object_id: int) -> NotFoundError:
    """The error for an id that nothing has, or nothing that the caller may know of."""
    return NotFoundError(f"There is no {kind.words} with the id {object_id}.")
