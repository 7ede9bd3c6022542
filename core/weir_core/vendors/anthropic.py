"""Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import msgspec

from weir_core.vendors.anthropic_messages import MessageReader, read_message
from weir_core.vendors.operation import Operation
from weir_core.vendors.vendor import Vendor

ANTHROPIC_OPERATIONS: Final = (
    Operation(
        name="messages",
        method="POST",
        path="/messages",
        metered=True,
        may_stream=True,
        model_in_body=True,
        output_limit_fields=("max_tokens",),
        gateway_keys=frozenset({"model", "stream", "messages", "system", "tools", "max_tokens"}),
        read_answer=read_message,
        stream_reader=MessageReader,
    ),
    Operation(
        name="messages.count_tokens",
        method="POST",
        path="/messages/count_tokens",
        model_in_body=True,
        gateway_keys=frozenset({"model", "messages", "system", "tools"}),
    ),
    Operation(name="models.list", method="GET", path="/models"),
    Operation(name="models.get", method="GET", path="/models/{id}"),
)

# https://docs.claude.com/en/api/errors; other 4xx are invalid requests too, other 5xx the API's own errors.
_TYPE_OF_STATUS: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_SERVER_ERROR: Final = 500


class AnthropicVendor(Vendor):
    """Anthropic's API: the key in ``x-api-key``, a version header, errors of its own shape."""

    request_id_header: ClassVar[str] = "request-id"
    default_headers: ClassVar[tuple[tuple[str, str], ...]] = (("anthropic-version", "2023-06-01"),)

    def upstream_auth_headers(self, api_key: str) -> list[tuple[str, str]]:
        """``x-api-key``."""
        return [("x-api-key", api_key)]

    def error(
        self, status: int, code: str, message: str, request_id: str, *, field: str | None = None
    ) -> bytes:
        """See ``Vendor.error``. The client library's class follows from the status.

        The gateway's code stands where the library's ``error_code`` looks for it; the shape has no place for
        the field.
        """
        error_type = _TYPE_OF_STATUS.get(
            status, "invalid_request_error" if status < _SERVER_ERROR else "api_error"
        )
        error = {"type": error_type, "message": message, "details": {"error_code": code}}
        return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})

    def sse_error(self, status: int, code: str, message: str, request_id: str) -> bytes:
        """See ``Vendor.sse_error``. The client library tells an error by the event's name."""
        return b"event: error\ndata: " + self.error(status, code, message, request_id) + b"\n\n"
