"""The state of one call, from its route to its events."""

from __future__ import annotations

import msgspec

from weir_core.objects import App, BodyCapture
from weir_core.usage import Answer, Usage
from weir_core.vendors import Operation
from weir_core.vendors.body import RequestFields
from weir_host.calls import CallInfo
from weir_host.tenure import Tenure
from weir_proxy.capture import stricter
from weir_proxy.client import ClientRequest
from weir_proxy.configuration import Configuration, ServedLlm, Target
from weir_proxy.headers import RequestHeaders
from weir_proxy.trace import Trace
from weir_sdk import Request
from weir_streams.events import Attempt, Outcome
from weir_streams.inflight import Slot


class Caller(msgspec.Struct, frozen=True):
    """Who calls, once that is known."""

    app: App
    credential_id: int | None = None
    user_id: str | None = None
    claims: dict[str, str] = {}


class Call(msgspec.Struct, kw_only=True):
    """One call. The first block is known when it is routed; the rest is filled in on the way.

    ``method``, ``path`` and ``query`` are as the client sent them, or as a plugin changed them. ``held`` are
    its plugins by id; while they are told of its end, they are held beyond it.
    """

    configuration: Configuration
    served: ServedLlm
    client: ClientRequest
    target: Target
    slot: Slot
    info: CallInfo
    trace: Trace
    client_request_id: str | None
    started_us: int
    started: float
    method: str
    path: str
    query: str
    headers: RequestHeaders

    body: bytes = b""
    fields: RequestFields | None = None
    hook_request: Request | None = None
    changed_headers: dict[str, str | None] = {}
    shown_headers: dict[str, str] = {}
    caller: Caller | None = None
    model: str | None = None
    plugin_ms: dict[str, float] = {}
    held: dict[int, Tenure] = {}
    plugins_are_told: bool = False

    upstream_body: bytes = b""
    hides_usage_chunk: bool = False
    attempts: list[Attempt] = []
    sent_upstream: bool = False
    upstream_ms: float | None = None
    first_byte_ms: float | None = None
    answer: Answer | None = None
    received_chars: int = 0

    status: int = 0
    outcome: Outcome = "gateway_error"
    blocked_by: str | None = None
    response_body: bytes = b""
    response_sha256: str | None = None
    response_bytes: int = 0
    chunk_count: int = 0
    reserved: Usage | None = None
    recorded: bool = False

    @property
    def request_id(self) -> str:
        """The one id that every hook, the client and all events see."""
        return self.info.request_id

    @property
    def operation(self) -> Operation | None:
        """What of the vendor's table is called; None only while the call is being refused."""
        return self.target.operation

    @property
    def streams(self) -> bool:
        """Whether the client asked for server-sent events."""
        return self.fields is not None and self.fields.stream

    @property
    def body_capture(self) -> BodyCapture:
        """How much of the bodies the events keep: nothing of a caller that nobody knows."""
        if self.caller is None:
            return "none"
        return stricter(self.served.llm.body_capture, self.caller.app.body_capture)

    @property
    def client_gone(self) -> bool:
        """Whether the client has hung up."""
        return self.client.client_gone
