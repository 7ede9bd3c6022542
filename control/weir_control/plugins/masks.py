"""An answer that is sent back: where it says ``***``, the stored secret is meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from weir_control.plugins.redaction import Path, masked
from weir_core.blotting import MASK


def restored(given: dict[str, Any], stored: dict[str, Any], hidden: Iterable[Path]) -> dict[str, Any]:
    """Return ``given`` with the stored secrets in the places where it repeats their masks.

    In a list the place of a secret may have moved: it is found by all that stands around it. A mask for which
    that is not enough stays a mask; ``left_masked`` finds it.

    Args:
        given: What a caller wrote, perhaps from an answer.
        stored: The configuration as it is, with its secrets.
        hidden: What of it the caller saw as ``***``.
    """
    merged: dict[str, Any] = _restored(given, masked(stored, hidden), stored)
    return merged


def left_masked(config: dict[str, Any], hidden: Iterable[Path]) -> list[Path]:
    """Where ``***`` still stands, of the places where a secret could have been meant."""
    secret_shapes = {_shape(path) for path in hidden}
    return [path for path in _masks(config) if _shape(path) in secret_shapes]


def _restored(given: Any, shown: Any, stored: Any) -> Any:
    if given == MASK and shown == MASK:
        return stored
    if isinstance(given, dict) and isinstance(shown, dict):
        return {
            key: _restored(value, shown[key], stored[key]) if key in shown else value
            for key, value in given.items()
        }
    if isinstance(given, list) and isinstance(shown, list):
        return [_restored_item(position, given, shown, stored) for position in range(len(given))]
    return given


def _restored_item(position: int, given: list[Any], shown: list[Any], stored: list[Any]) -> Any:
    item = given[position]
    if len(given) == len(shown) and item == shown[position]:
        return stored[position]
    same = [other for other, value in enumerate(shown) if value == item]
    return stored[same[0]] if len(same) == 1 else item


def _masks(value: Any, path: Path = ()) -> Iterator[Path]:
    if value == MASK:
        yield path
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _masks(item, (*path, key))


def _shape(path: Path) -> tuple[str | None, ...]:
    """A place without its positions in lists."""
    return tuple(part if isinstance(part, str) else None for part in path)
