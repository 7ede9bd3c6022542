"""Tries a plugin out, away from everything that serves, before its configuration is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from weir_control.api.validation import path_text
from weir_control.errors import FieldError, InvalidFieldsError, PluginCannotStartError
from weir_control.plugins.hook_types import in_order
from weir_control.plugins.redaction import Path, secret_paths, value_at, values_at
from weir_core.blotting import MASK, blot_out
from weir_core.objects import Plugin
from weir_host.probe import ProbeResult

Prober = Callable[[Plugin], Awaitable[ProbeResult]]
"""Starts a plugin once, in a process of its own, and stops it; never raises for what the plugin does."""

_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """What a trial start told, as it is stored beside the plugin.

    Of a plugin that could not start only the reason is kept: the rest may be half the truth.
    """

    ok: bool
    reason: str
    schema: dict[str, Any] | None
    hooks: tuple[str, ...]

    def columns(self, now_us: int) -> dict[str, Any]:
        """The columns of the plugin's row."""
        return {
            "probe_ok": self.ok,
            "probe_reason": self.reason,
            "probe_schema": self.schema,
            "probe_hooks": list(self.hooks),
            "probed_at_us": now_us,
        }


class Probing:
    """Runs the prober, a few at a time: each trial is a process of its own."""

    def __init__(self, probe: Prober) -> None:
        self._probe = probe
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def try_out(self, plugin: Plugin, secrets: Sequence[Any] = (), field: str = "config") -> Finding:
        """Start the plugin once and judge its configuration.

        That it cannot start is a finding, not an error; a configuration against its own schema is an error.

        Args:
            secrets: Values that no message may repeat, beside those that the schema marks.
            field: What the caller calls the configuration.

        Raises:
            InvalidFieldsError: The configuration breaks the plugin's schema (one error per place), or a hook
                type is named that the plugin does not implement.
        """
        async with self._slots:
            result = await self._probe(plugin)
        if result.schema_errors:
            unspoken = [*_secrets(plugin, result.config_schema), *secrets]
            raise InvalidFieldsError(
                FieldError(f"{field}.{path}" if path else field, "config_schema", blot_out(message, unspoken))
                for path, message in result.schema_errors
            )
        if result.ok:
            _check_hook_types(plugin, result.hooks)
            _check_masks(plugin, result.config_schema, field)
            return Finding(True, "", result.config_schema, tuple(in_order(result.hooks)))
        # Without a schema anything may be secret, and what a plugin complains of it may repeat.
        return Finding(False, blot_out(result.reason, [*_secrets(plugin, None), *secrets]), None, ())


def refuse_failed(finding: Finding, field: str = "command") -> None:
    """A change must not replace a plugin that serves by one that cannot.

    Raises:
        PluginCannotStartError: It cannot.
    """
    if not finding.ok:
        raise PluginCannotStartError(
            f"The plugin cannot start like this, so nothing was changed: {finding.reason}",
            [FieldError(field, PluginCannotStartError.code, finding.reason)],
        )


def refuse_masks(paths: Iterable[Path], field: str = "config") -> None:
    """A mask must not become the secret.

    Raises:
        InvalidFieldsError: There are any.
    """
    errors = [
        FieldError(
            path_text((field, *path)),
            "masked",
            f"{MASK} is how answers hide this secret, and which one is meant is not clear; send it itself",
        )
        for path in paths
    ]
    if errors:
        raise InvalidFieldsError(errors)


def _secrets(plugin: Plugin, schema: dict[str, Any] | None) -> list[Any]:
    return values_at(plugin.config, secret_paths(plugin.config, schema))


def _check_hook_types(plugin: Plugin, implemented: frozenset[str]) -> None:
    known = ", ".join(in_order(implemented)) or "none"
    if not plugin.hook_types and not in_order(implemented):
        message = "the plugin implements no hook; see its handlers' names"
        raise InvalidFieldsError([FieldError("hook_types", "not_implemented", message)])
    errors = [
        FieldError(
            f"hook_types[{position}]",
            "not_implemented",
            f"the plugin does not implement {hook}; it has: {known}",
        )
        for position, hook in enumerate(plugin.hook_types)
        if hook not in implemented
    ]
    if errors:
        raise InvalidFieldsError(errors)


def _check_masks(plugin: Plugin, schema: dict[str, Any] | None, field: str) -> None:
    paths = secret_paths(plugin.config, schema or {})
    refuse_masks((path for path in paths if value_at(plugin.config, path) == MASK), field)
