"""The secrets of a stored plugin, to keep them out of what is said about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weir_control.plugins.hidden import hidden_paths
from weir_control.plugins.redaction import values_at
from weir_control.store.sealing import open_config
from weir_core.errors import SecretError
from weir_core.secrets import KeyRing


def plugin_secrets(keyring: KeyRing, row: Mapping[Any, Any]) -> list[Any]:
    """The secret values in a plugin's configuration; none where no key opens it, for nobody else has them."""
    try:
        config = open_config(keyring, row["id"], row["config_sealed"])
    except SecretError:
        return []
    return values_at(config, hidden_paths(row, config, unmarked=True))
