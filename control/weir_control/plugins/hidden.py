"""What is hidden of a stored configuration: the rules above any single schema.

1. What the plugin's own schema calls ``writeOnly`` is secret.
2. A value that was secret when it was given stays so, whatever schema comes later: otherwise naming another
   plugin in ``command`` would show it. It ends with the value.
3. Of a plugin that could not start no schema is known, so nothing is known to be harmless.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from weir_control.plugins.redaction import MISSING, Path, masked, secret_paths, value_at


def hidden_paths(row: Mapping[Any, Any], config: dict[str, Any], *, unmarked: bool = False) -> list[Path]:
    """The places of a configuration that answers hide.

    Args:
        row: With the plugin's ``probe_ok`` and ``probe_schema``, and this configuration's ``kept_secrets``.
        unmarked: Show what a plugin without any schema does not mark as secret.
    """
    schema = row["probe_schema"]
    if schema is None and row["probe_ok"] and unmarked:
        schema = {}
    return [*secret_paths(config, schema), *map(tuple, row["kept_secrets"])]


def shown_config(row: Mapping[Any, Any], config: dict[str, Any], *, unmarked: bool = False) -> dict[str, Any]:
    """The configuration as an answer may show it."""
    return masked(config, hidden_paths(row, config, unmarked=unmarked))


def kept_secrets(
    config: dict[str, Any],
    schema: dict[str, Any] | None,
    before: dict[str, Any],
    secret_before: Iterable[Path],
) -> list[Path]:
    """What to remember as secret of a configuration that takes the place of another."""
    marked = [] if schema is None else secret_paths(config, schema)
    unchanged = [
        path
        for path in secret_before
        if (value := value_at(config, path)) is not MISSING and value == value_at(before, path)
    ]
    return list(dict.fromkeys((*marked, *unchanged)))
