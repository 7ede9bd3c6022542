"""Keeps the secret parts of a plugin's configuration out of answers.

A part is secret where the plugin's own JSON Schema says ``writeOnly``. Without a schema to go by nothing is
known to be harmless, so everything is.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

MASK: Final = "***"

_COMBINATIONS: Final = ("allOf", "anyOf", "oneOf")
_CONDITIONS: Final = ("if", "then", "else")

Path = tuple[str | int, ...]
_Schemas = Sequence[Mapping[str, Any]]


def redact(config: dict[str, Any], schema: dict[str, Any] | None) -> dict[str, Any]:
    """Return ``config`` with ``***`` in the place of every secret value."""
    if schema is None:
        return dict.fromkeys(config, MASK)
    redacted = copy.deepcopy(config)
    for path in _Reader(schema).secrets(config, [schema]):
        _at(redacted, path[:-1])[path[-1]] = MASK
    return redacted


def masked_paths(config: dict[str, Any], schema: dict[str, Any]) -> list[Path]:
    """Where ``***`` stands for a secret: an answer was sent back, and the mask must not become the secret."""
    return [path for path in _Reader(schema).secrets(config, [schema]) if _at(config, path) == MASK]


def blot_out(message: str, config: dict[str, Any], schema: dict[str, Any] | None) -> str:
    """Return ``message`` without the secret values: a validator's messages repeat what they are about."""
    if schema is None:
        return message
    for path in _Reader(schema).secrets(config, [schema]):
        for value in _with_parts(_at(config, path)):
            message = message.replace(repr(value), MASK)
    return message


class _Reader:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def secrets(self, value: Any, schemas: _Schemas, path: Path = ()) -> Iterator[Path]:
        """The topmost places that are write-only."""
        applicable = self._expand(schemas)
        if path and any(schema.get("writeOnly") is True for schema in applicable):
            yield path
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from self.secrets(item, _schemas_of_property(applicable, key), (*path, key))
        elif isinstance(value, list):
            for position, item in enumerate(value):
                yield from self.secrets(item, _schemas_of_item(applicable, position), (*path, position))

    def _expand(self, schemas: _Schemas) -> list[Mapping[str, Any]]:
        """All schemas that may say something about the same value; a cycle of references is read once."""
        found: list[Mapping[str, Any]] = []
        waiting: list[Any] = list(schemas)
        while waiting:
            schema = waiting.pop()
            if not isinstance(schema, Mapping) or any(schema is known for known in found):
                continue
            found.append(schema)
            for keyword in _COMBINATIONS:
                waiting.extend(schema.get(keyword) or ())
            waiting.extend(schema[keyword] for keyword in _CONDITIONS if keyword in schema)
            if "$ref" in schema:
                waiting.append(self._resolve(schema["$ref"]))
        return found

    def _resolve(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        target: Any = self._root
        for part in filter(None, reference[1:].split("/")):
            name = part.replace("~1", "/").replace("~0", "~")
            target = target.get(name) if isinstance(target, Mapping) else None
        return target


def _schemas_of_property(schemas: _Schemas, key: str) -> list[Mapping[str, Any]]:
    found = []
    for schema in schemas:
        own = [schema["properties"][key]] if key in schema.get("properties", {}) else []
        own += [
            item for pattern, item in schema.get("patternProperties", {}).items() if re.search(pattern, key)
        ]
        found += own or [schema.get("additionalProperties")]
    return [item for item in found if isinstance(item, Mapping)]


def _schemas_of_item(schemas: _Schemas, position: int) -> list[Mapping[str, Any]]:
    """``items`` as a list is draft-07's word for ``prefixItems``."""
    found: list[Any] = []
    for schema in schemas:
        items = schema.get("items")
        prefix = items if isinstance(items, list) else schema.get("prefixItems", [])
        if position < len(prefix):
            found.append(prefix[position])
        else:
            found.append(schema.get("additionalItems") if isinstance(items, list) else items)
    return [item for item in found if isinstance(item, Mapping)]


def _with_parts(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _with_parts(part)


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value
