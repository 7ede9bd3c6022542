"""Who was erased, for everyone who writes what events say into the database, or gives it away again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_collectors.tables_erasing import erasures


class Scope(StrEnum):
    """Whose events are erased."""

    APP = "app"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Erasure:
    """Events of one app or user that began at ``cutoff_us`` or earlier.

    ``subject`` is the app's id as text, or the user's digest: the list of who was erased must not name them.
    """

    scope: Scope
    subject: str
    salt: str
    cutoff_us: int

    def covers(self, app_id: int | None, user_id: str | None, timestamp_us: int) -> bool:
        """Whether an event is of its subject and not too young."""
        if timestamp_us > self.cutoff_us:
            return False
        if self.scope is Scope.APP:
            return app_id is not None and self.subject == str(app_id)
        return user_id is not None and self.subject == digest(user_id, self.salt)


class Erasures(tuple[Erasure, ...]):
    """Some erasures, asked together."""

    __slots__ = ()

    def cover(self, app_id: int | None, user_id: str | None, timestamp_us: int) -> bool:
        """Whether any of them is about the event."""
        return any(erasure.covers(app_id, user_id, timestamp_us) for erasure in self)


NOBODY_ERASED = Erasures()


def digest(user_id: str, salt: str) -> str:
    """What stands for a user in the list of erasures."""
    return hashlib.sha256(f"{salt}:{user_id}".encode("utf-8", "surrogatepass")).hexdigest()


async def erasures_since(connection: AsyncConnection, moments_us: Sequence[int]) -> Erasures:
    """The erasures that may be about events of these moments.

    Read it in the transaction that writes the events. On SQLite that transaction then stands wholly before
    an erasure, which finds what it wrote, or wholly after it; on Postgres an erasure waits for those who
    have read the list. What is live is younger than any erasure, so almost always there are none.
    """
    if not moments_us:
        return NOBODY_ERASED
    columns = erasures.c
    found = await connection.execute(
        select(columns.scope, columns.subject, columns.salt, columns.cutoff_us).where(
            columns.cutoff_us >= min(moments_us)
        )
    )
    return Erasures(Erasure(Scope(scope), *rest) for scope, *rest in found)
