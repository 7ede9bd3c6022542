"""Which slug an object gets, and what one may look like."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.errors import invalid
from weir_control.principal import Principal
from weir_control.store.kinds import Kind
from weir_control.store.rows import refuse_taken_slug

SLUG_PATTERN: Final = r"^[a-z0-9]+(?:[._-][a-z0-9]+)*$"
MAX_SLUG: Final = 63


async def choose_slug(
    connection: AsyncConnection,
    caller: Principal,
    kind: Kind,
    name: str,
    given: str | None,
    current: RowMapping | None = None,
) -> str:
    """The slug that was given, else the one the object has, else one made from its name.

    A changed name never changes the slug by itself: it stands in the URLs of running clients.

    Raises:
        ConflictError: Another object has it.
        InvalidFieldsError: None was given and the name has no letter or digit to make one from.
    """
    slug = given or (_slug_from(name) if current is None else current["slug"])
    if slug is None:
        raise invalid("slug", "cannot be made from this name; give one", "required")
    await refuse_taken_slug(connection, caller, kind, slug, None if current is None else current["id"])
    return slug


def _slug_from(name: str) -> str | None:
    """Make a slug of a name, None when nothing in it can stand in one."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", ascii_name))[:MAX_SLUG].strip("-") or None
