"""One request to the mock upstream, read once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

Vendor = Literal["openai", "anthropic"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_ID_PREFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {"chat.completions": "chatcmpl-", "completions": "cmpl-", "responses": "resp_", "messages": "msg_"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What was asked, of which vendor. ``document`` is the body's JSON object, empty when there is none."""

    vendor: Vendor
    operation: str
    argument: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    document: Mapping[str, Any]
    serial: str
    time_us: int

    @property
    def id(self) -> str:
        """The answer's id, in the form its operation uses."""
        return _ID_PREFIXES.get(self.operation, "call_") + self.serial

    @property
    def request_id(self) -> str:
        """The vendor's id of the HTTP exchange, carried in a header."""
        return "req_" + self.serial

    @property
    def created(self) -> int:
        """Seconds since the epoch."""
        return self.time_us // 1_000_000

    @property
    def model(self) -> str | None:
        """The model the body names."""
        model = self.document.get("model")
        return model if isinstance(model, str) else None

    @property
    def stream(self) -> bool:
        """Whether the body asks for server-sent events."""
        return self.document.get("stream") is True


async def read_body(receive: Receive) -> bytes | None:
    """The whole request body; None when the client left before its end."""
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)
