"""JSON Merge Patch (RFC 7396), the meaning of every PATCH here: objects merge, null removes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body

PatchBody = Annotated[dict[str, Any], Body()]
"""A PATCH body as it came; the merged object is what gets validated."""


def patched(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Return ``document`` with the fields that ``patch`` names changed.

    At the top a null stays, so that the field's own type says whether it may be null: switching something
    back to its default by accident is worse than an error.
    """
    return {
        **document,
        **{
            name: None if value is None else _merge(document.get(name), value)
            for name, value in patch.items()
        },
    }


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged
