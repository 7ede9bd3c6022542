"""What a token that is bound to namespaces reaches: its own namespaces, and nothing tells of the rest.

An object has one namespace and a credential that of its app. A record has that of its app, or, where no app
was known, of its LLM. Prices have none: they stand for the whole installation, may be read by all and
changed by nobody who is bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.errors import FieldError, ForbiddenError
from weir_control.principal import Principal
from weir_control.store.kinds import CREDENTIAL, Kind
from weir_control.store.tables import apps, llms

_Conditions = tuple[ColumnElement[bool], ...]


def visible(caller: Principal, kind: Kind) -> _Conditions:
    """Conditions for the rows of this kind that exist for the caller; tokens are not looked up like this."""
    if caller.namespaces is None:
        return ()
    if kind is CREDENTIAL:
        return (kind.table.c.app_id.in_(_reached(caller, apps)),)
    if "namespace" in kind.table.c:
        return (kind.table.c.namespace.in_(caller.namespaces),)
    return ()


def visible_events(caller: Principal, table: Table) -> _Conditions:
    """Conditions for the rows of a table with ``app_id`` and ``llm_id`` that exist for the caller.

    By the app that made the call as it is now: when it moves, its past moves along; what an app left that is
    deleted is seen by unbound tokens only.
    """
    if caller.namespaces is None:
        return ()
    of_an_app = table.c.app_id.in_(_reached(caller, apps))
    # Sums have a 0 where records have NULL.
    of_none = or_(table.c.app_id.is_(None), table.c.app_id == 0)
    of_an_llm = of_none & table.c.llm_id.in_(_reached(caller, llms))
    return (or_(of_an_app, of_an_llm),)


async def namespace_of_event(connection: AsyncConnection, row: Mapping[Any, Any]) -> str | None:
    """The namespace by which ``visible_events`` judges a row; None when its app or LLM is gone."""
    table, object_id = (apps, row["app_id"]) if row["app_id"] else (llms, row["llm_id"])
    found = await connection.execute(select(table.c.namespace).where(table.c.id == object_id))
    return found.scalar_one_or_none()


def check_reach(caller: Principal, namespace: str) -> None:
    """Refuse to put an object where the caller could not see it.

    Raises:
        ForbiddenError: The token is bound to other namespaces.
    """
    if not caller.reaches(namespace):
        own = ", ".join(map(repr, sorted(caller.namespaces or ())))
        raise ForbiddenError(
            f"The token is bound to namespaces and may put nothing into {namespace!r}; give one of: {own}.",
            [FieldError("namespace", "forbidden", f"must be one of {own}")],
        )


def check_unbound(caller: Principal, what: str) -> None:
    """Refuse a change of something that stands for every namespace.

    Raises:
        ForbiddenError: The token is bound to some.
    """
    if caller.namespaces is not None:
        raise ForbiddenError(
            f"{what} for all namespaces, and this token is bound to some; use an admin's or operator's that "
            "is bound to none."
        )


def _reached(caller: Principal, table: Table) -> Select[tuple[int]]:
    return select(table.c.id).where(table.c.namespace.in_(caller.namespaces or ()))
