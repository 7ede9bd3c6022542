"""OpenAI, and every other server that speaks its API."""

from __future__ import annotations

import re
from typing import ClassVar, Final

import msgspec

from weir_core.vendors.openai_chat import CompletionReader, read_completion
from weir_core.vendors.openai_responses import ResponseReader, read_response
from weir_core.vendors.operation import Operation
from weir_core.vendors.vendor import VERSION_SEGMENT, Vendor

OPENAI_OPERATIONS: Final = (
    Operation(
        name="chat.completions",
        method="POST",
        path="/chat/completions",
        metered=True,
        may_stream=True,
        model_in_body=True,
        output_limit_fields=("max_completion_tokens", "max_tokens"),
        gateway_keys=frozenset(
            {
                "model",
                "stream",
                "stream_options",
                "messages",
                "tools",
                "n",
                "max_completion_tokens",
                "max_tokens",
            }
        ),
        wants_include_usage=True,
        read_answer=read_completion,
        stream_reader=CompletionReader,
    ),
    Operation(
        name="completions",
        method="POST",
        path="/completions",
        metered=True,
        may_stream=True,
        model_in_body=True,
        output_limit_fields=("max_tokens",),
        gateway_keys=frozenset({"model", "stream", "stream_options", "prompt", "n", "best_of", "max_tokens"}),
        wants_include_usage=True,
        read_answer=read_completion,
        stream_reader=CompletionReader,
    ),
    Operation(
        name="responses",
        method="POST",
        path="/responses",
        metered=True,
        may_stream=True,
        model_in_body=True,
        output_limit_fields=("max_output_tokens",),
        gateway_keys=frozenset(
            {"model", "stream", "input", "instructions", "tools", "max_output_tokens", "background"}
        ),
        read_answer=read_response,
        stream_reader=ResponseReader,
    ),
    Operation(
        name="embeddings",
        method="POST",
        path="/embeddings",
        metered=True,
        model_in_body=True,
        gateway_keys=frozenset({"model", "input"}),
        read_answer=read_completion,
    ),
    Operation(name="models.list", method="GET", path="/models"),
    Operation(name="models.get", method="GET", path="/models/{id}"),
)

_RATE_LIMIT: Final = 429
_SERVER_ERROR: Final = 500
_OUT_OF_MONEY: Final = "insufficient_quota"


class OpenAiVendor(Vendor):
    """OpenAI's API: a bearer key, and errors as ``{"error": {message, type, param, code}}``."""

    # The client library puts its calls straight behind its base URL, which is what hosts that serve this API
    # below a path of their own (/v1beta/openai) are made for.
    _endpoint_version: ClassVar[re.Pattern[str]] = re.compile(rf"{VERSION_SEGMENT}(?=/|\Z)")

    def upstream_auth_headers(self, api_key: str) -> list[tuple[str, str]]:
        """``Authorization: Bearer``."""
        return [("authorization", f"Bearer {api_key}")]

    def error(
        self, status: int, code: str, message: str, request_id: str, *, field: str | None = None
    ) -> bytes:
        """See ``Vendor.error``. The client library chooses its class by the status."""
        return msgspec.json.encode(
            {"error": _error(status, code, message, field), "request_id": request_id},
        )

    def sse_error(self, status: int, code: str, message: str, request_id: str) -> bytes:
        """See ``Vendor.sse_error``. The client library raises for any event whose data has an ``error``.

        ``type`` beside it makes it the Responses API's error event as well.
        """
        error = _error(status, code, message, None)
        data = msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})
        return b"data: " + data + b"\n\n"


def _error(status: int, code: str, message: str, field: str | None) -> dict[str, str | None]:
    return {"message": message, "type": _error_type(status, code), "param": field, "code": code}


def _error_type(status: int, code: str) -> str:
    if code == _OUT_OF_MONEY:
        return code
    if status == _RATE_LIMIT:
        return "rate_limit_error"
    return "invalid_request_error" if status < _SERVER_ERROR else "server_error"
