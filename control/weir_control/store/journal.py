"""Notes what a transaction does to objects, and writes it to the audit log before it commits."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.principal import Actor
from weir_control.store.audit import Entry, append_entry
from weir_control.store.images import Image, image_of
from weir_control.store.kinds import APP, CREDENTIAL, LLM, Kind
from weir_control.store.tables import app_llms, credentials
from weir_core.secrets import KeyRing


class Journal:
    """The objects of one transaction as they were before it.

    Args:
        actor: Who makes the change.
    """

    def __init__(self, connection: AsyncConnection, keyring: KeyRing, actor: Actor) -> None:
        self._connection = connection
        self._keyring = keyring
        self._actor = actor
        self._before: dict[tuple[Kind, int], Image | None] = {}
        self._bystanders: set[tuple[Kind, int]] = set()

    def note_new(self, kind: Kind, object_id: int) -> None:
        """Say that this object was not there before."""
        self._before.setdefault((kind, object_id), None)

    async def note(self, kind: Kind, object_id: int) -> None:
        """Say that this object is about to be changed or deleted."""
        if (kind, object_id) not in self._before:
            self._before[kind, object_id] = await self._image(kind, object_id)

    async def note_dependents(self, kind: Kind, object_id: int) -> None:
        """Say that this object is about to be deleted: the database changes others along with it."""
        for other, other_id in await self._dependents(kind, object_id):
            await self.note(other, other_id)
            self._bystanders.add((other, other_id))

    async def write(self, revision: int, at_us: int) -> None:
        """Write an entry for each object that was noted. To be called once, after all changes."""
        for (kind, object_id), before in self._before.items():
            after = await self._image(kind, object_id)
            entry = _entry(kind, object_id, before, after)
            if entry.changed or (kind, object_id) not in self._bystanders:
                await append_entry(self._connection, self._actor, at_us, entry, revision)

    async def _image(self, kind: Kind, object_id: int) -> Image | None:
        return await image_of(self._connection, self._keyring, kind, object_id)

    async def _dependents(self, kind: Kind, object_id: int) -> list[tuple[Kind, int]]:
        if kind is APP:
            statement = select(credentials.c.id).where(credentials.c.app_id == object_id)
            other = CREDENTIAL
        elif kind is LLM:
            statement = select(app_llms.c.app_id).where(app_llms.c.llm_id == object_id)
            other = APP
        else:
            return []
        return [(other, found) for found in (await self._connection.execute(statement)).scalars()]


def _entry(kind: Kind, object_id: int, before: Image | None, after: Image | None) -> Entry:
    changed = _changed(before, after)
    return Entry(
        resource=kind.resource,
        object_id=object_id,
        action=_action(before, after, changed),
        namespace_before=before.namespace if before else None,
        namespace_after=after.namespace if after else None,
        changed=changed,
        before=before.shown if before else None,
        after=after.shown if after else None,
    )


def _action(before: Image | None, after: Image | None, changed: list[str]) -> str:
    if before is None:
        return "create"
    if after is None:
        return "delete"
    return "reload" if changed == ["generation"] else "update"


def _changed(before: Image | None, after: Image | None) -> list[str]:
    one, other = (image.compared if image else {} for image in (before, after))
    return [name for name in one | other if one.get(name) != other.get(name)]
