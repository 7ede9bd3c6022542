"""The answer, as the response hooks read and change it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from weir_sdk.body import JsonBody
from weir_sdk.headers import Headers


class Response(JsonBody):
    """The model's answer on its way to the client. Change it in place and return nothing.

    The body is decompressed. Of a stream, ``on_before_write`` sees one server-sent event at a time: ``body``
    is its data (bare JSON or ``[DONE]``) and ``is_stream_chunk`` is true; an empty body swallows that event.
    """

    __slots__ = ("headers", "is_stream_chunk", "request_id", "status_code")

    def __init__(
        self,
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        is_stream_chunk: bool = False,
        request_id: str = "",
    ) -> None:
        super().__init__(body)
        self.status_code = status_code
        self.headers = headers if isinstance(headers, Headers) else Headers(headers or {})
        self.is_stream_chunk = is_stream_chunk
        self.request_id = request_id

    def copy(self) -> Response:
        """An independent copy; what ``json()`` returned stays with the original."""
        twin = Response.__new__(Response)
        twin._body = self.body
        twin._as_parsed = None
        twin.status_code = self.status_code
        twin.headers = self.headers.copy()
        twin.is_stream_chunk = self.is_stream_chunk
        twin.request_id = self.request_id
        return twin

    def __repr__(self) -> str:
        return f"<Response {self.status_code} {len(self._body)} bytes>"


class ResponseWriteResponse(msgspec.Struct, kw_only=True):
    """What a response hook may return instead of changing the response in place.

    With ``modified`` false nothing changes. With it, ``headers`` overwrite by name, and ``body`` replaces the
    body unless it is None.
    """

    modified: bool = False
    headers: dict[str, str] | None = None
    body: bytes | None = None
