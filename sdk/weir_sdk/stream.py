"""A streamed answer as a whole, after its end."""

from __future__ import annotations

from collections.abc import Mapping

from weir_sdk.headers import Headers


class StreamComplete:
    """What a client was streamed, and what it had asked.

    Attributes:
        body: The stream's bytes as they were released to the client, framing included.
        headers: First value of each header of the answer, see ``Headers``.
        status_code: Status of the answer.
        chunk_count: Server-sent events that were released.
        request_body: The body of the request, as it was sent upstream.
    """

    __slots__ = ("body", "chunk_count", "headers", "request_body", "status_code")

    def __init__(
        self,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        status_code: int = 200,
        chunk_count: int = 0,
        request_body: bytes = b"",
    ) -> None:
        self.body = body
        self.headers = headers if isinstance(headers, Headers) else Headers(headers or {})
        self.status_code = status_code
        self.chunk_count = chunk_count
        self.request_body = request_body

    def copy(self) -> StreamComplete:
        """An independent copy."""
        return StreamComplete(
            body=self.body,
            headers=self.headers.copy(),
            status_code=self.status_code,
            chunk_count=self.chunk_count,
            request_body=self.request_body,
        )

    def __repr__(self) -> str:
        return f"<StreamComplete {self.status_code} {self.chunk_count} chunks {len(self.body)} bytes>"
