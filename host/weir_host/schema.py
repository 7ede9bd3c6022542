"""A plugin's own word on its configuration: a JSON Schema, and what a configuration does against it."""

from __future__ import annotations

from typing import Any

import msgspec
from jsonschema import Draft202012Validator, SchemaError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from weir_host.errors import PluginStartError
from weir_sdk import BasePlugin
from weir_sdk.wire.failures import described

SchemaErrors = list[tuple[str, str]]
"""Dotted path into the configuration (empty for all of it), and what is wrong there."""


def config_schema_of(plugin: BasePlugin) -> dict[str, Any] | None:
    """What ``get_config_schema`` returns, as an object; None when the plugin has none.

    Raises:
        PluginStartError: It fails, or returns no JSON Schema (``read_schema``).
    """
    provide = getattr(plugin, "get_config_schema", None)
    if provide is None:
        return None
    try:
        given = provide()
    except (Exception, SystemExit) as error:
        raise PluginStartError(f"get_config_schema failed: {described(error)}") from error
    return read_schema(given)


def read_schema(given: object) -> dict[str, Any]:
    """What a plugin said of its configuration, as an object.

    Args:
        given: An object, or JSON text.

    Raises:
        PluginStartError: It is not a JSON Schema of draft-07 or 2020-12.
    """
    try:
        text = given if isinstance(given, str | bytes) else msgspec.json.encode(given)
        schema = msgspec.json.decode(text, type=dict[str, Any])
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except (msgspec.MsgspecError, TypeError) as error:
        raise PluginStartError(f"get_config_schema returned no JSON object: {described(error)}") from error
    except SchemaError as error:
        where = ".".join(str(step) for step in error.absolute_path) or "the schema"
        raise PluginStartError(
            f"get_config_schema returned no JSON Schema: {where}: {error.message}"
        ) from error
    return schema


def config_errors(config: dict[str, Any], schema: dict[str, Any]) -> SchemaErrors:
    """Everything that is wrong with a configuration, sorted by path.

    Raises:
        PluginStartError: The schema refers to one that is not in it; nothing is fetched.
    """
    validator = validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())
    try:
        found = list(validator.iter_errors(config))
    except Unresolvable as error:
        raise PluginStartError(f"the config schema refers to {error.ref!r}, which is not in it") from error
    return sorted((".".join(str(step) for step in error.absolute_path), error.message) for error in found)
