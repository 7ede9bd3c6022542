"""An object as the audit log keeps it: everything that can be set, without the secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.plugins.hidden import shown_config
from weir_control.store.attached import read_attached
from weir_control.store.kinds import APP, CREDENTIAL, LLM, PLUGIN, Kind
from weir_control.store.sealing import open_api_key, open_config
from weir_control.store.tables import app_llms, apps
from weir_core.blotting import MASK
from weir_core.clock import rfc3339
from weir_core.errors import SecretError
from weir_core.secrets import KeyRing

_NOT_SET_BY_ANYBODY: Final = frozenset(
    {
        *("id", "revision", "created_at_us", "updated_at_us"),
        *("api_key_sealed", "config_sealed", "config_override_sealed", "kept_secrets", "secret_hash"),
        *("probe_ok", "probe_reason", "probe_schema", "probe_hooks", "probed_at_us"),
    }
)


_MOMENT: Final = "_us"


@dataclass(frozen=True, slots=True)
class Image:
    """One state of an object.

    Attributes:
        namespace: Of the object, or of the app that it belongs to; None for what belongs to none.
        shown: What may be read.
        compared: The same with the secrets, so that a change of one is noticed; never leaves memory.
    """

    namespace: str | None
    shown: dict[str, Any]
    compared: dict[str, Any] = field(repr=False)


async def image_of(connection: AsyncConnection, keyring: KeyRing, kind: Kind, object_id: int) -> Image | None:
    """The object as this transaction sees it; None when it is not there."""
    found = await connection.execute(select(kind.table).where(kind.table.c.id == object_id))
    row = found.mappings().one_or_none()
    if row is None:
        return None
    shown = _settings(row)
    compared = dict(shown)
    namespace: str | None = row.get("namespace")
    if kind is LLM:
        shown["api_key"], compared["api_key"] = _api_key(keyring, row)
        shown["plugins"], compared["plugins"] = await _attachments(connection, keyring, object_id)
    elif kind is APP:
        shown["llm_ids"] = compared["llm_ids"] = await _llm_ids(connection, object_id)
    elif kind is PLUGIN:
        shown["config"], compared["config"] = _config(keyring, row)
    elif kind is CREDENTIAL:
        namespace = await _namespace_of_app(connection, row["app_id"])
    return Image(namespace, shown, compared)


def _settings(row: Mapping[Any, Any]) -> dict[str, Any]:
    """What can be set, under the names that the API has for it."""
    return dict(_setting(name, value) for name, value in row.items() if name not in _NOT_SET_BY_ANYBODY)


def _setting(name: str, value: Any) -> tuple[str, Any]:
    if not name.endswith(_MOMENT):
        return name, value
    return name.removesuffix(_MOMENT), None if value is None else rfc3339(value)


def _api_key(keyring: KeyRing, row: RowMapping) -> tuple[Any, Any]:
    sealed = row["api_key_sealed"]
    if sealed is None:
        return None, None
    try:
        return MASK, open_api_key(keyring, row["id"], sealed)
    except SecretError:
        return MASK, sealed


def _config(keyring: KeyRing, row: RowMapping) -> tuple[Any, Any]:
    try:
        config = open_config(keyring, row["id"], row["config_sealed"])
    except SecretError:
        return MASK, row["config_sealed"]
    return shown_config(row, config), config


async def _attachments(connection: AsyncConnection, keyring: KeyRing, llm_id: int) -> tuple[Any, Any]:
    shown, compared = [], []
    for item in await read_attached(connection, keyring, llm_id):
        settings = _settings(item.row)
        readable = item.override is not None
        shown.append(settings | {"config_override": item.shown(unmarked=False) if readable else MASK})
        sealed = item.row["config_override_sealed"]
        compared.append(settings | {"config_override": item.override if readable else sealed})
    return shown, compared


async def _llm_ids(connection: AsyncConnection, app_id: int) -> list[int]:
    statement = select(app_llms.c.llm_id).where(app_llms.c.app_id == app_id).order_by(app_llms.c.llm_id)
    return list((await connection.execute(statement)).scalars())


async def _namespace_of_app(connection: AsyncConnection, app_id: int) -> str | None:
    found = await connection.execute(select(apps.c.namespace).where(apps.c.id == app_id))
    return found.scalar_one_or_none()
