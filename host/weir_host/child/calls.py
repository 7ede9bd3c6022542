"""Hooks as calls over the wire, with the outcomes and errors of those in the gateway's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Final, TypeVar

from grpc import aio

from weir_host.calls import CallInfo, RequestOutcome
from weir_host.child.cutting import cut_to_fit
from weir_host.child.exchange import Exchange
from weir_host.child.stubs import plugin_extras, plugin_service
from weir_host.errors import (
    PluginCallError,
    PluginError,
    PluginNotReadyError,
    PluginProtocolError,
)
from weir_host.instance import Turn
from weir_proto.plugin_pb2 import ProxyLogRequest
from weir_sdk import (
    Analytics,
    BudgetUsage,
    DataCollectionResponse,
    EdgePayload,
    EdgePayloadResponse,
    Event,
    ProxyLog,
    Request,
    Response,
    StreamComplete,
)
from weir_sdk.errors import RubbishError
from weir_sdk.wire.collected import batch_collected_from_wire, batch_to_wire, collected_from_wire
from weir_sdk.wire.context import ChangesMetadata, Peer, keep_wire_metadata
from weir_sdk.wire.events import (
    EventRequest,
    analytics_to_wire,
    budget_usage_to_wire,
    proxy_log_to_wire,
)
from weir_sdk.wire.payloads import accepted_from_wire, payload_to_wire
from weir_sdk.wire.requests import (
    auth_outcome_from_wire,
    auth_to_wire,
    enriched_to_wire,
    request_outcome_from_wire,
    request_to_wire,
)
from weir_sdk.wire.responses import (
    headers_outcome_from_wire,
    headers_to_wire,
    stream_to_wire,
    write_outcome_from_wire,
    write_to_wire,
)

_Outcome = TypeVar("_Outcome")

_BATCH: Final = "handle_batch"


class WireCalls:
    """The hooks of one plugin process; ``Calls``.

    Args:
        name: The plugin's name, for errors.
        channel: The channel to its process.
        peer: How to write to it.
        serves: The handlers and hook types that it has and is declared for.
        threads: How many calls its threaded handlers take at a time, by handler; others are not limited.
    """

    def __init__(
        self,
        name: str,
        channel: aio.Channel,
        peer: Peer,
        serves: frozenset[str],
        threads: Mapping[str, int],
    ) -> None:
        self._name = name
        self._peer = peer
        self._serves = serves
        self._service = plugin_service(channel)
        self._extras = plugin_extras(channel)
        self._turns = _turns(threads)
        self._exchange = Exchange(name)

    @property
    def exchange(self) -> Exchange:
        """The calls under way."""
        return self._exchange

    def implements(self, hook: str, /) -> bool:
        """Whether a handler or a hook type of this name is served."""
        return hook in self._serves

    def turn(self, handler: str, /) -> Turn:
        """Room for a call of a handler: a plugin's threaded handlers share its threads."""
        return self._turns.get(handler, nullcontext())

    async def pre_auth(self, call: CallInfo, request: Request, /) -> RequestOutcome:
        """Call ProcessPreAuth."""
        name = "handle_pre_auth"
        answer = await self._guard(
            name, self._service.ProcessPreAuth, lambda: request_to_wire(call, request, self._peer)
        )
        return self._judged(name, call, answer, lambda: request_outcome_from_wire(answer, request))

    async def auth(self, call: CallInfo, request: Request, /) -> RequestOutcome:
        """Call Authenticate."""
        name = "handle_auth"
        answer = await self._guard(
            name, self._service.Authenticate, lambda: auth_to_wire(call, request, self._peer)
        )
        return self._judged(name, call, answer, lambda: auth_outcome_from_wire(answer))

    async def post_auth(self, call: CallInfo, request: Request, /) -> RequestOutcome:
        """Call ProcessPostAuth."""
        name = "handle_post_auth"
        answer = await self._guard(
            name, self._service.ProcessPostAuth, lambda: enriched_to_wire(call, request, self._peer)
        )
        return self._judged(name, call, answer, lambda: request_outcome_from_wire(answer, request))

    async def response_headers(self, call: CallInfo, response: Response, /) -> Response | None:
        """Call OnBeforeWriteHeaders, if the plugin has it."""
        name = "on_before_write_headers"
        if name not in self._serves:
            return None
        answer = await self._exchange.ask(
            name, self._service.OnBeforeWriteHeaders, lambda: headers_to_wire(call, response, self._peer)
        )
        if answer is None:
            return None
        return self._judged(name, call, answer, lambda: headers_outcome_from_wire(answer, response))

    async def response_body(self, call: CallInfo, response: Response, /) -> Response | None:
        """Call OnBeforeWrite, if the plugin has it."""
        name = "on_before_write"
        if name not in self._serves:
            return None
        answer = await self._exchange.ask(
            name, self._service.OnBeforeWrite, lambda: write_to_wire(call, response, self._peer)
        )
        if answer is None:
            return None
        return self._judged(name, call, answer, lambda: write_outcome_from_wire(answer, response))

    async def stream_complete(self, call: CallInfo, stream: StreamComplete, /) -> None:
        """Call OnStreamComplete, if the plugin has it."""
        name = "on_stream_complete"
        if name not in self._serves:
            return
        answer = await self._exchange.ask(
            name, self._service.OnStreamComplete, lambda: stream_to_wire(call, stream, self._peer)
        )
        if answer is not None and answer.error_message:
            who = f"plugin {self._name!r}: {name}"
            raise PluginCallError(f"{who} said: {answer.error_message}", unquoted=f"{who} reported a failure")

    async def proxy_log(self, log: ProxyLog, /) -> DataCollectionResponse:
        """Call HandleProxyLog."""
        return await self._collect("handle_proxy_log", log)

    async def analytics(self, analytics: Analytics, /) -> DataCollectionResponse:
        """Call HandleAnalytics."""
        return await self._collect("handle_analytics", analytics)

    async def budget_usage(self, usage: BudgetUsage, /) -> DataCollectionResponse:
        """Call HandleBudgetUsage."""
        return await self._collect("handle_budget_usage", usage)

    async def batch(self, events: Sequence[Event], /) -> list[DataCollectionResponse]:
        """Call HandleBatch, or the single handlers one by one."""
        if _BATCH not in self._serves:
            return [await self._collect_or_say_why(event) for event in events]
        answer = await self._guard(_BATCH, self._extras.HandleBatch, lambda: batch_to_wire(events))
        return self._checked(_BATCH, lambda: batch_collected_from_wire(answer, len(events)))

    async def edge_payload(self, payload: EdgePayload, /) -> EdgePayloadResponse:
        """Call AcceptEdgePayload."""
        name = "accept_edge_payload"
        answer = await self._guard(
            name, self._service.AcceptEdgePayload, lambda: payload_to_wire(payload, self._peer)
        )
        return accepted_from_wire(answer)

    async def _collect(self, name: str, event: Event) -> DataCollectionResponse:
        if name not in self._serves and _BATCH in self._serves:
            return (await self.batch([event]))[0]
        self._require(name)
        method, write = self._collection(event)
        answer = await self._exchange.ask(name, method, write)
        if answer is None:
            return DataCollectionResponse()
        return self._checked(name, lambda: collected_from_wire(answer))

    async def _collect_or_say_why(self, event: Event) -> DataCollectionResponse:
        try:
            return await self._collect(_HANDLER_OF[type(event)], event)
        except PluginError as error:
            return DataCollectionResponse(success=False, error_message=str(error), retryable=error.retryable)

    def _collection(self, event: Event) -> tuple[Any, Callable[[], EventRequest]]:
        peer = self._peer
        if isinstance(event, ProxyLog):
            return self._service.HandleProxyLog, lambda: _fitting(proxy_log_to_wire(event, peer), peer)
        if isinstance(event, Analytics):
            return self._service.HandleAnalytics, lambda: analytics_to_wire(event, peer)
        assert isinstance(event, BudgetUsage)
        return self._service.HandleBudgetUsage, lambda: budget_usage_to_wire(event, peer)

    async def _guard(self, name: str, method: Any, write: Callable[[], Any]) -> Any:
        """Ask where no answer is no answer: a guard that does nothing must not look as if it guarded."""
        self._require(name)
        answer = await self._exchange.ask(name, method, write)
        if answer is None:
            raise PluginProtocolError(
                f"plugin {self._name!r} does not implement {name}, though its hook_types say so"
            )
        return answer

    def _judged(
        self, name: str, call: CallInfo, answer: ChangesMetadata, judge: Callable[[], _Outcome]
    ) -> _Outcome:
        outcome = self._checked(name, judge)
        keep_wire_metadata(answer, call)
        return outcome

    def _checked(self, name: str, judge: Callable[[], _Outcome]) -> _Outcome:
        try:
            return judge()
        except RubbishError as error:
            who = f"plugin {self._name!r}: {name}"
            unquoted = f"{who} answered what cannot be used"
            raise PluginProtocolError(f"{who} {error}", unquoted=unquoted) from error

    def _require(self, name: str) -> None:
        if name not in self._serves:
            raise PluginNotReadyError(
                f"plugin {self._name!r} does not serve {name}; its hook_types say what it serves"
            )


_HANDLER_OF: Final[dict[type[Event], str]] = {
    ProxyLog: "handle_proxy_log",
    Analytics: "handle_analytics",
    BudgetUsage: "handle_budget_usage",
}


def _fitting(log: ProxyLogRequest, peer: Peer) -> ProxyLogRequest:
    return log if peer.ours else cut_to_fit(log)


def _turns(threads: Mapping[str, int]) -> dict[str, Turn]:
    """One semaphore for the handlers that share threads."""
    if not threads:
        return {}
    shared = asyncio.Semaphore(max(threads.values()))
    return dict.fromkeys(threads, shared)
