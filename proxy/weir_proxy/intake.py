"""Reading and judging what the client sent, before any plugin or upstream sees it."""

from __future__ import annotations

from weir_core.errors import InvalidInputError
from weir_core.vendors import Operation
from weir_core.vendors.body import RequestFields, read_request
from weir_proxy.client import ClientRequest
from weir_proxy.errors import ClientBrokenError, ClientTooSlowError, RefusalError
from weir_proxy.routes import Mode


async def read_whole(client: ClientRequest, limit: int) -> bytes:
    """Return a request's whole body.

    Raises:
        RefusalError: 413 over ``limit`` bytes, 408 when it came too slowly, 400 when it is not HTTP/1.1.
        ClientGoneError: The client hung up in the middle of it.
    """
    if client.content_length is not None and client.content_length > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    size = 0
    try:
        while (piece := await client.read()) is not None:
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
    except ClientBrokenError as error:
        raise RefusalError(
            400, "invalid_request_body", "The request body is not framed as HTTP/1.1 says."
        ) from error
    except ClientTooSlowError as error:
        raise RefusalError(
            408, "request_timeout", "The request body came too slowly. Send it again."
        ) from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


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
