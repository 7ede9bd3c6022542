"""Errors in each vendor's own shape."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from weir_cli.mock_upstream.call import Call
from weir_cli.mock_upstream.reply import Reply, data_event, encoded, named_event

_OPENAI: Final[Mapping[int, tuple[str, str | None]]] = MappingProxyType(
    {
        401: ("invalid_request_error", "invalid_api_key"),
        403: ("invalid_request_error", "unsupported_country_region_territory"),
        429: ("requests", "rate_limit_exceeded"),
    }
)
_ANTHROPIC: Final[Mapping[int, str]] = MappingProxyType(
    {
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
)


def error_reply(
    call: Call, status: int, message: str, *, kind: str | None = None, code: str | None = None
) -> Reply:
    """An error answer; type and code are what the vendor says for this status unless given."""
    return Reply(status=status, body=encoded(_document(call, status, message, kind, code)))


def error_event(call: Call, message: str) -> bytes:
    """What the vendor sends when a stream fails after its 200."""
    if call.vendor == "anthropic":
        return named_event(_document(call, 529, message, None, None))
    if call.operation == "responses":
        return named_event(
            {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 0}
        )
    return data_event(_document(call, 500, message, None, None))


def _document(call: Call, status: int, message: str, kind: str | None, code: str | None) -> dict[str, Any]:
    if call.vendor == "anthropic":
        fallback = "api_error" if status >= 500 else "invalid_request_error"
        error = {"type": kind or _ANTHROPIC.get(status, fallback), "message": message}
        return {"type": "error", "error": error, "request_id": call.request_id}
    fallback = "server_error" if status >= 500 else "invalid_request_error"
    usual_kind, usual_code = _OPENAI.get(status, (fallback, None))
    error_fields = {"message": message, "type": kind or usual_kind, "param": None, "code": code or usual_code}
    return {"error": error_fields}
