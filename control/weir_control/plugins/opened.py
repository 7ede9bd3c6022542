"""A stored plugin with its configuration opened: what a change of it is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping

from weir_control.plugins.hidden import hidden_paths, kept_secrets
from weir_control.plugins.masks import left_masked, restored
from weir_control.plugins.models import PluginInput
from weir_control.plugins.probing import refuse_masks
from weir_control.plugins.redaction import Path, values_at
from weir_control.principal import Principal

_DECIDE_THE_START: Final = ("command", "checksum", "config", "hook_types", "service_scopes")


class OpenedPlugin:
    """A plugin as it was before a change.

    Args:
        row: As it is stored.
        document: The same as an admin would write it, secrets included; None when no key at hand opens its
            configuration.
    """

    def __init__(self, row: RowMapping, document: dict[str, Any] | None) -> None:
        self._row = row
        self._readable = document is not None
        self.document: dict[str, Any] = document or {"command": None, "checksum": None, "config": {}}
        self.config: dict[str, Any] = self.document["config"]
        self._hidden = hidden_paths(row, self.config, unmarked=True)

    @property
    def secrets(self) -> list[Any]:
        """The values that nothing said about the plugin may repeat."""
        return values_at(self.config, self._hidden)

    @property
    def holds_secrets(self) -> bool:
        """Whether there are any; what cannot be read may be one."""
        return bool(self._hidden) or not self._readable

    def with_secrets_for(self, caller: Principal, body: PluginInput) -> PluginInput:
        """What the caller wrote, with the stored secrets in the places where they saw masks.

        Raises:
            InvalidFieldsError: Of a mask it is not clear which secret is meant.
        """
        seen = hidden_paths(self._row, self.config, unmarked=caller.sees_unmarked_config)
        config = restored(body.config, self.config, seen)
        refuse_masks(left_masked(config, seen))
        return body.model_copy(update={"config": config})

    def must_start_anew_as(self, body: PluginInput) -> bool:
        """Whether the change has anything to do with the plugin's start."""
        if not self._readable:
            return True
        after = body.model_dump() | {"hook_types": body.named_hook_types()}
        switched_on = body.is_active and not self.document["is_active"]
        return switched_on or _what_starts(self.document) != _what_starts(after)

    def kept_by(self, body: PluginInput, schema: dict[str, Any] | None) -> list[Path]:
        """What of the configuration after a change stays hidden whatever schema comes later.

        Args:
            schema: That of the plugin after the change, None when it has none.
        """
        hidden = self._hidden
        if not self._row["probe_ok"] and body.command == self._row["command"]:
            # Nothing was known to be harmless; now the plugin itself says what is.
            hidden = list(map(tuple, self._row["kept_secrets"]))
        return kept_secrets(body.config, schema, self.config, hidden)


def _what_starts(document: Mapping[str, Any]) -> bytes:
    # As JSON, because to Python 1, 1.0 and True are one value, and to a schema they are not.
    return msgspec.json.encode([document[name] for name in _DECIDE_THE_START], order="deterministic")
