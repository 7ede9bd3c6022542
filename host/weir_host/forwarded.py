"""Calls of a plugin that go to whatever serves for it now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from weir_host.calls import CallInfo
from weir_host.instance import (
    BatchCall,
    Calls,
    CollectorCall,
    PayloadCall,
    RequestCall,
    ResponseCall,
    StreamCall,
)
from weir_sdk import (
    Analytics,
    BudgetUsage,
    EdgePayload,
    Event,
    ProxyLog,
    Request,
    Response,
    StreamComplete,
)


class ForwardedCalls:
    """``Calls`` that forward each to ``_calls``, which whoever derives from this replaces as it likes."""

    _calls: Calls

    def implements(self, hook: str, /) -> bool:
        """Whether a hook type or a handler of this name is served."""
        return self._calls.implements(hook)

    @asynccontextmanager
    async def turn(self, handler: str, /) -> AsyncIterator[None]:
        """Room for a call of a handler, in what serves once there is room."""
        while True:
            calls = self._calls
            async with calls.turn(handler):
                if calls is self._calls:
                    yield
                    return

    def pre_auth(self, call: CallInfo, request: Request, /) -> RequestCall:
        """Forwarded, as all that follow."""
        return self._calls.pre_auth(call, request)

    def auth(self, call: CallInfo, request: Request, /) -> RequestCall:
        return self._calls.auth(call, request)

    def post_auth(self, call: CallInfo, request: Request, /) -> RequestCall:
        return self._calls.post_auth(call, request)

    def response_headers(self, call: CallInfo, response: Response, /) -> ResponseCall:
        return self._calls.response_headers(call, response)

    def response_body(self, call: CallInfo, response: Response, /) -> ResponseCall:
        return self._calls.response_body(call, response)

    def stream_complete(self, call: CallInfo, stream: StreamComplete, /) -> StreamCall:
        return self._calls.stream_complete(call, stream)

    def proxy_log(self, log: ProxyLog, /) -> CollectorCall:
        return self._calls.proxy_log(log)

    def analytics(self, analytics: Analytics, /) -> CollectorCall:
        return self._calls.analytics(analytics)

    def budget_usage(self, usage: BudgetUsage, /) -> CollectorCall:
        return self._calls.budget_usage(usage)

    def batch(self, events: Sequence[Event], /) -> BatchCall:
        return self._calls.batch(events)

    def edge_payload(self, payload: EdgePayload, /) -> PayloadCall:
        return self._calls.edge_payload(payload)
