"""Secrets at rest: each is sealed for the one row and column it stands in, so that they cannot be swapped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.store.tables import llms, plugins
from weir_core.secrets import KeyRing, Secret


async def set_api_key(
    connection: AsyncConnection, keyring: KeyRing, llm_id: int, api_key: str | None
) -> None:
    """Seal an LLM's vendor key, or take it away."""
    sealed = None if api_key is None else keyring.seal(api_key.encode(), api_key_context(llm_id))
    await connection.execute(update(llms).where(llms.c.id == llm_id).values(api_key_sealed=sealed))


def open_api_key(keyring: KeyRing, llm_id: int, sealed: bytes | None) -> Secret | None:
    """The vendor key of an LLM, None when it has none.

    Raises:
        SecretError: No key at hand opens it.
    """
    if sealed is None:
        return None
    return Secret(keyring.open(sealed, api_key_context(llm_id)).decode())


async def set_config(
    connection: AsyncConnection, keyring: KeyRing, plugin_id: int, config: dict[str, Any]
) -> None:
    """Seal a plugin's whole configuration: only the plugin knows which parts are secret."""
    sealed = keyring.seal(msgspec.json.encode(config), config_context(plugin_id))
    await connection.execute(update(plugins).where(plugins.c.id == plugin_id).values(config_sealed=sealed))


def open_config(keyring: KeyRing, plugin_id: int, sealed: bytes) -> dict[str, Any]:
    """A plugin's configuration.

    Raises:
        SecretError: No key at hand opens it.
    """
    return msgspec.json.decode(keyring.open(sealed, config_context(plugin_id)), type=dict[str, Any])


def seal_override(keyring: KeyRing, llm_id: int, plugin_id: int, override: dict[str, Any]) -> bytes | None:
    """An attachment's own configuration, sealed; None when it has none."""
    if not override:
        return None
    return keyring.seal(msgspec.json.encode(override), override_context(llm_id, plugin_id))


def open_override(keyring: KeyRing, attachment: Mapping[Any, Any]) -> dict[str, Any]:
    """An attachment's own configuration; empty when it has none.

    Raises:
        SecretError: No key at hand opens it.
    """
    sealed = attachment["config_override_sealed"]
    if sealed is None:
        return {}
    context = override_context(attachment["llm_id"], attachment["plugin_id"])
    return msgspec.json.decode(keyring.open(sealed, context), type=dict[str, Any])


def api_key_context(llm_id: int) -> bytes:
    """What an LLM's vendor key is sealed for."""
    return f"llms.api_key:{llm_id}".encode()


def config_context(plugin_id: int) -> bytes:
    """What a plugin's configuration is sealed for."""
    return f"plugins.config:{plugin_id}".encode()


def override_context(llm_id: int, plugin_id: int) -> bytes:
    """What an attachment's own configuration is sealed for."""
    return f"attachments.config_override:{llm_id}:{plugin_id}".encode()
