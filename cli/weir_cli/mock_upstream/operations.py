"""Which paths the mock upstream serves, for which vendor, under their version segment only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from weir_cli.mock_upstream import anthropic_messages, openai_chat, openai_other, openai_responses
from weir_cli.mock_upstream.behaviour import Behaviour
from weir_cli.mock_upstream.call import Call, Vendor
from weir_cli.mock_upstream.reply import Reply
from weir_cli.mock_upstream.vendor_errors import error_reply


class Operation(NamedTuple):
    """One entry of a vendor's table.

    A ``path`` that ends in a slash takes an argument behind it. Without the ``required`` fields of the body
    the vendor answers 400.
    """

    vendor: Vendor
    method: str
    path: str
    name: str
    reply: Callable[[Call, Behaviour], Reply]
    required: tuple[str, ...] = ()


_TABLE: Final = (
    Operation(
        "openai",
        "POST",
        "/v1/chat/completions",
        "chat.completions",
        openai_chat.chat_completion,
        ("model", "messages"),
    ),
    Operation(
        "openai", "POST", "/v1/completions", "completions", openai_chat.completion, ("model", "prompt")
    ),
    Operation("openai", "POST", "/v1/responses", "responses", openai_responses.response, ("model",)),
    Operation("openai", "POST", "/v1/embeddings", "embeddings", openai_other.embeddings, ("model", "input")),
    Operation("openai", "GET", "/v1/models", "models.list", openai_other.list_models),
    Operation("openai", "GET", "/v1/models/", "models.get", openai_other.get_model),
    Operation(
        "anthropic",
        "POST",
        "/v1/messages",
        "messages",
        anthropic_messages.message,
        ("model", "messages", "max_tokens"),
    ),
    Operation(
        "anthropic",
        "POST",
        "/v1/messages/count_tokens",
        "count_tokens",
        anthropic_messages.count_tokens,
        ("model", "messages"),
    ),
    Operation("anthropic", "GET", "/v1/models", "models.list", anthropic_messages.list_models),
    Operation("anthropic", "GET", "/v1/models/", "models.get", anthropic_messages.get_model),
)


def vendor_of(path: str, headers: Mapping[str, str]) -> Vendor:
    """The vendor a call means; the two share ``/v1/models``, so Anthropic's own headers decide there."""
    if path.startswith("/v1/messages") or "anthropic-version" in headers or "x-api-key" in headers:
        return "anthropic"
    return "openai"


def find_operation(vendor: Vendor, method: str, path: str) -> tuple[Operation, str] | None:
    """The operation and the argument in its path, None when the vendor has no such thing."""
    for operation in _TABLE:
        if (operation.vendor, operation.method) != (vendor, method):
            continue
        if path == operation.path or (operation.path.endswith("/") and path.startswith(operation.path)):
            return operation, path.removeprefix(operation.path)
    return None


def refusal(call: Call, operation: Operation | None, api_key: str) -> Reply | None:
    """What the vendor says before it looks at the request's meaning; None when it has no objection."""
    if _presented_key(call) != api_key:
        text = "invalid x-api-key" if call.vendor == "anthropic" else "Incorrect API key provided."
        return error_reply(call, 401, text)
    if operation is None:
        return error_reply(call, 404, f"Invalid URL ({call.method} {call.path})")
    if call.vendor == "anthropic" and "anthropic-version" not in call.headers:
        return error_reply(call, 400, "anthropic-version: header is required")
    for field in operation.required:
        if call.document.get(field) is None:
            return error_reply(
                call, 400, f"Missing required parameter: '{field}'.", code="missing_required_parameter"
            )
    return None


def _presented_key(call: Call) -> str | None:
    # Anthropic takes either header; its own client sends the bearer one since its second major version.
    if call.vendor == "anthropic" and "x-api-key" in call.headers:
        return call.headers["x-api-key"]
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else None
