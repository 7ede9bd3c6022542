"""A plugin's configuration on the wire, which knows only text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

CONFIG_JSON: Final = "_config_json"
"""The whole configuration with its JSON types; for our own plugins."""

_HOSTS_OWN: Final = frozenset(
    {
        CONFIG_JSON,
        "_plugin_id",
        "_service_broker_id",
        "_edge_id",
        "_edge_namespace",
        "plugin_id",
        "service_broker_id",
        "has_service_api",
    }
)
_MAX_PLAIN: Final = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a plugin learns when it is initialised.

    Attributes:
        config: Its configuration; from a host that is not ours every value is a text.
        plugin_id: Its id at the host; 0 where the host named none.
        broker_id: Under which id of the broker the host's services are; 0 where it offers none.
        edge_id: Which gateway this is.
        edge_namespace: The namespace that this gateway serves.
    """

    config: dict[str, Any] = field(default_factory=dict)
    plugin_id: int = 0
    broker_id: int = 0
    edge_id: str = ""
    edge_namespace: str = ""


def beginning_to_wire(beginning: Beginning) -> dict[str, str]:
    """``InitRequest.config``: the configuration as Go plugins and ours read it, and the host's own keys.

    The ids go under both spellings that plugins in the field look for; a key of the configuration keeps its
    value where it has the plain spelling.
    """
    flat = flatten(beginning.config)
    for name, number in (
        ("plugin_id", beginning.plugin_id),
        ("service_broker_id", beginning.broker_id),
    ):
        if number:
            flat.setdefault(name, str(number))
            flat[f"_{name}"] = str(number)
    flat["_edge_id"] = beginning.edge_id
    flat["_edge_namespace"] = beginning.edge_namespace
    flat[CONFIG_JSON] = msgspec.json.encode(beginning.config).decode()
    return flat


def beginning_from_wire(flat: Mapping[str, str]) -> Beginning:
    """What a plugin learns from ``InitRequest.config``.

    Raises:
        msgspec.MsgspecError: The host's JSON is none.
    """
    if CONFIG_JSON in flat:
        config = msgspec.json.decode(flat[CONFIG_JSON], type=dict[str, Any])
    else:
        config = {name: text for name, text in flat.items() if name not in _HOSTS_OWN}
    return Beginning(
        config=config,
        plugin_id=_number(flat, "plugin_id"),
        broker_id=_number(flat, "service_broker_id"),
        edge_id=flat.get("_edge_id", ""),
        edge_namespace=flat.get("_edge_namespace", ""),
    )


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """Each value as the text that Go plugins expect."""
    return {name: _text(value) for name, value in config.items()}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    return msgspec.json.encode(value).decode()


def _float_text(value: float) -> str:
    """As Go's %v, but for whole numbers: many plugins cannot read `1e+06`."""
    if math.isfinite(value) and value == int(value) and abs(value) <= _MAX_PLAIN:
        return str(int(value))
    digits = repr(value)
    if "e" not in digits and 1e-4 <= abs(value) < 1e6:
        return digits
    mantissa, exponent = _shortest(value)
    return f"{mantissa}e{exponent:+03d}"


def _shortest(value: float) -> tuple[str, int]:
    """The fewest digits that give the same number again, as ``d.ddd`` and a power of ten."""
    for precision in range(17):
        text = f"{value:.{precision}e}"
        if float(text) == value:
            break
    mantissa, _, exponent = text.partition("e")
    return mantissa, int(exponent)


def _number(flat: Mapping[str, str], name: str) -> int:
    text = flat.get(f"_{name}") or flat.get(name) or ""
    return int(text) if text.isascii() and text.isdecimal() else 0
