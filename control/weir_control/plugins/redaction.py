"""Keeps the secret parts of a plugin's configuration out of answers.

A part is secret where the plugin's own JSON Schema says ``writeOnly``. Without a schema to go by nothing is
known to be harmless, so everything is.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from weir_core.blotting import MASK

MISSING: Final = object()
"""What ``value_at`` finds at a place that is not there."""

_COMBINATIONS: Final = ("allOf", "anyOf", "oneOf")
_CONDITIONS: Final = ("if", "then", "else")

Path = tuple[str | int, ...]
_Schemas = Sequence[Mapping[str, Any]]


def secret_paths(config: dict[str, Any], schema: dict[str, Any] | None) -> list[Path]:
    """Where ``config`` holds secrets; without a schema, every value at the top."""
    if schema is None:
        return [(key,) for key in config]
    return list(_Reader(schema).secrets(config, [schema]))


def masked(config: dict[str, Any], paths: Iterable[Sequence[str | int]]) -> dict[str, Any]:
    """Return ``config`` with ``***`` at these places; a place that is not there is passed over."""
    shown = copy.deepcopy(config)
    for path in paths:
        if path and value_at(shown, path) is not MISSING:
            value_at(shown, path[:-1])[path[-1]] = MASK
    return shown


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


def value_at(value: Any, path: Sequence[str | int]) -> Any:
    """What stands at a place; ``MISSING`` when nothing does."""
    for part in path:
        if not isinstance(value, dict | list):
            return MISSING
        try:
            value = value[part]  # type: ignore[index]  # a key of the wrong type is caught as well
        except (KeyError, IndexError, TypeError):
            return MISSING
    return value


def values_at(config: dict[str, Any], paths: Iterable[Path]) -> list[Any]:
    """What stands at these places, where anything does."""
    return [value for path in paths if (value := value_at(config, path)) is not MISSING]
