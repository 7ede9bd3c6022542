"""Records for those who may not read what was asked and answered."""

from __future__ import annotations

from typing import Any, Final

from weir_core.blotting import MASK

_OF_BODIES: Final = (
    *("request_body", "response_body"),
    # A short text can be guessed from its checksum.
    *("request_body_sha256", "response_body_sha256"),
)


def without_bodies(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event with ``***`` in the place of its bodies; where there is none, there still is none."""
    hidden = {name: MASK for name in _OF_BODIES if event.get(name) is not None}
    return event | hidden
