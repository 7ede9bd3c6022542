"""Records, and what is said of them, for those who may not read what was asked and answered."""

from __future__ import annotations

from typing import Any, Final

from weir_control.principal import Principal
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


def reason_for(caller: Principal, reason: str, unquoted: str | None) -> str:
    """A collector's reason as the caller may read it: its own words may quote a body.

    Args:
        unquoted: The same without its words; None where it has none.
    """
    return reason if caller.sees_bodies or unquoted is None else unquoted
