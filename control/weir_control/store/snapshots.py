"""The stored configuration as one closed revision, secrets opened: what proxies and collectors work from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import structlog
from sqlalchemy import ColumnElement, RowMapping, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.plugins.hidden import hidden_paths
from weir_control.plugins.hook_types import effective_hook_types
from weir_control.plugins.redaction import values_at
from weir_control.store import tables
from weir_control.store.sealing import open_api_key, open_config, open_override
from weir_control.store.store import Store, newest_revision
from weir_core.errors import SecretError
from weir_core.objects import (
    App,
    Attachment,
    CollectorOptions,
    ConfigObject,
    Credential,
    Llm,
    ModelPrice,
    Plugin,
)
from weir_core.secrets import KeyRing
from weir_core.snapshot import Snapshot

_log = structlog.get_logger("weir.control")

_Item = TypeVar("_Item", Llm, Plugin)


async def read_snapshot(store: Store) -> Snapshot:
    """Read the newest revision.

    An object whose secret no key at hand can open is left out, so that it cannot hold up every other change;
    an LLM is then not there, and a guard that is missing refuses.
    """
    async with store.reading() as connection:
        revision = await newest_revision(connection)
        attached = await _grouped(connection, tables.attachments, "llm_id", tables.attachments.c.position)
        overrides = await _grouped(connection, tables.attachments, "plugin_id", tables.attachments.c.llm_id)
        granted = await _grouped(connection, tables.app_llms, "app_id", tables.app_llms.c.llm_id)
        objects: list[ConfigObject] = []
        for row in await _rows(connection, tables.llms):
            objects += _readable(_llm, row, store.keyring, attached.get(row["id"], ()))
        for row in await _rows(connection, tables.plugins):
            objects += _readable(_plugin, row, store.keyring, overrides.get(row["id"], ()))
        objects += [_app(row, granted.get(row["id"], ())) for row in await _rows(connection, tables.apps)]
        objects += [_credential(row) for row in await _rows(connection, tables.credentials)]
        objects += [_model_price(row) for row in await _rows(connection, tables.model_prices)]
    return Snapshot(revision, objects)


async def _rows(connection: AsyncConnection, table: Table) -> Sequence[RowMapping]:
    return (await connection.execute(select(table).order_by(table.c.id))).mappings().all()


async def _grouped(
    connection: AsyncConnection, table: Table, key: str, order: ColumnElement[int]
) -> Mapping[int, list[RowMapping]]:
    groups: dict[int, list[RowMapping]] = {}
    for row in (await connection.execute(select(table).order_by(order))).mappings():
        groups.setdefault(row[key], []).append(row)
    return groups


def _readable(build: Callable[..., _Item], row: RowMapping, *more: object) -> Iterator[_Item]:
    try:
        yield build(row, *more)
    except SecretError as error:
        _log.error("left out of the configuration", object=build.__name__, id=row["id"], error=str(error))


def _llm(row: RowMapping, keyring: KeyRing, attached: Sequence[RowMapping]) -> Llm:
    return Llm(
        id=row["id"],
        name=row["name"],
        slug=row["slug"],
        vendor=row["vendor"],
        api_endpoint=row["api_endpoint"],
        api_key=open_api_key(keyring, row["id"], row["api_key_sealed"]),
        default_model=row["default_model"],
        allowed_models=tuple(row["allowed_models"]),
        is_active=row["is_active"],
        timeout_seconds=row["timeout_seconds"],
        body_capture=row["body_capture"],
        namespace=row["namespace"],
        metadata=row["metadata"],
        attachments=tuple(_attachment(item, keyring) for item in attached),
    )


def _attachment(row: RowMapping, keyring: KeyRing) -> Attachment:
    return Attachment(
        plugin_id=row["plugin_id"],
        timeout_ms=row["timeout_ms"],
        on_error=row["on_error"],
        stream_mode=row["stream_mode"],
        default_app_id=row["default_app_id"],
        response_headers=tuple(row["response_headers"]),
        config_override=open_override(keyring, row),
    )


def _plugin(row: RowMapping, keyring: KeyRing, attached: Sequence[RowMapping]) -> Plugin:
    config = open_config(keyring, row["id"], row["config_sealed"])
    return Plugin(
        id=row["id"],
        name=row["name"],
        slug=row["slug"],
        command=row["command"],
        description=row["description"],
        checksum=row["checksum"],
        config=config,
        hook_types=tuple(effective_hook_types(row)),
        collector=CollectorOptions(**row["collector"]),
        service_scopes=tuple(row["service_scopes"]),
        is_active=row["is_active"],
        runtime=row["runtime"],
        required_for_ready=row["required_for_ready"],
        namespace=row["namespace"],
        generation=row["generation"],
        secrets=tuple(_secrets(row, config, keyring, attached)),
    )


def _secrets(
    row: RowMapping, config: dict[str, Any], keyring: KeyRing, attached: Sequence[RowMapping]
) -> Iterator[Any]:
    """Those of its own configuration, and of the ones that it is attached with."""
    yield from values_at(config, hidden_paths(row, config, unmarked=True))
    for attachment in attached:
        try:
            override = open_override(keyring, attachment)
        except SecretError:
            # Its LLM is left out for it; nobody gets this one.
            continue
        marked = {**row, "kept_secrets": attachment["kept_secrets"]}
        yield from values_at(override, hidden_paths(marked, override, unmarked=True))


def _app(row: RowMapping, granted: Sequence[RowMapping]) -> App:
    return App(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        owner_email=row["owner_email"],
        user_id=row["user_id"],
        llm_ids=tuple(item["llm_id"] for item in granted),
        is_active=row["is_active"],
        body_capture=row["body_capture"],
        namespace=row["namespace"],
        metadata=row["metadata"],
    )


def _credential(row: RowMapping) -> Credential:
    return Credential(
        id=row["id"],
        app_id=row["app_id"],
        key_id=row["key_id"],
        secret_hash=row["secret_hash"],
        name=row["name"],
        scopes=tuple(row["scopes"]),
        expires_at_us=row["expires_at_us"],
    )


def _model_price(row: RowMapping) -> ModelPrice:
    return ModelPrice(
        id=row["id"],
        vendor=row["vendor"],
        model=row["model"],
        input=row["input"],
        output=row["output"],
        cache_read=row["cache_read"],
        cache_write=row["cache_write"],
        reasoning=row["reasoning"],
        currency=row["currency"],
        effective_from_us=row["effective_from_us"],
    )
