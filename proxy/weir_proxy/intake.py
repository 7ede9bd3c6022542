"""Reading and judging what the client sent, before any plugin or upstream sees it."""

from __future__ import annotations

from weir_core.errors import InvalidInputError
from weir_core.vendors import Operation
from weir_core.vendors.body import RequestFields, read_request
from weir_proxy.asgi import Message, Receive
from weir_proxy.call import Call
from weir_proxy.errors import ClientGoneError, RefusalError
from weir_proxy.routes import Mode


async def read_body(call: Call, receive: Receive, limit: int) -> bytes:
    """Return the whole body.

    Raises:
        RefusalError: 413 over ``limit`` bytes, 408 when it came too slowly.
        ClientGoneError: The client hung up in the middle of it.
    """
    announced = call.client.content_length
    if announced is not None and announced > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.request" and not message["more_body"]:
        body: bytes = message["body"]
        if len(body) > limit:
            raise _too_large(limit)
        return body
    return await _read_pieces(call, receive, message, limit)


async def _read_pieces(call: Call, receive: Receive, message: Message, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        pieces.append(message["body"])
        size += len(message["body"])
        if size > limit:
            raise _too_large(limit)
        if not message["more_body"]:
            return b"".join(pieces)
        if call.client.body_overdue:
            raise RefusalError(408, "request_timeout", "The request body came too slowly. Send it again.")
        message = await receive()
    raise ClientGoneError("the client hung up while sending its request body")


def read_fields(operation: Operation, body: bytes, headers_say: str | None) -> RequestFields:
    """The few members of the body that the gateway itself goes by.

    Raises:
        RefusalError: 400 for malformed JSON, a duplicate of such a member, or an encoded body.
    """
    if headers_say not in (None, "", "identity"):
        raise RefusalError(
            400,
            "unsupported_content_encoding",
            f"Content-Encoding {headers_say!r} is not accepted. Send plain JSON.",
        )
    try:
        return read_request(body, operation.gateway_keys)
    except InvalidInputError as error:
        raise RefusalError(400, "invalid_request_body", str(error), field=error.field) from error


def check_mode(mode: Mode, streams: bool) -> None:
    """Refuse a streaming body on ``rest`` and any other on ``stream``."""
    if mode == "rest" and streams:
        raise RefusalError(
            400,
            "streaming_not_allowed",
            "/llm/rest/ takes no streaming calls. Use /llm/stream/ or /llm/call/.",
        )
    if mode == "stream" and not streams:
        raise RefusalError(
            400,
            "streaming_required",
            '/llm/stream/ takes only bodies with "stream": true. Use /llm/rest/ or /llm/call/.',
        )


def _too_large(limit: int) -> RefusalError:
    return RefusalError(413, "request_too_large", f"The request body is larger than {limit} bytes.")
