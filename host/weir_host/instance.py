"""``Instance``: a plugin as the proxy and the collectors call it, wherever it runs."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from weir_host.calls import CallInfo, RequestOutcome
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

State = Literal["starting", "ready", "degraded", "failed", "stopped"]

RequestCall: TypeAlias = Coroutine[Any, Any, RequestOutcome]
ResponseCall: TypeAlias = Coroutine[Any, Any, Response | None]
CollectorCall: TypeAlias = Coroutine[Any, Any, DataCollectionResponse]
StreamCall: TypeAlias = Coroutine[Any, Any, None]
PayloadCall: TypeAlias = Coroutine[Any, Any, EdgePayloadResponse]
BatchCall: TypeAlias = Coroutine[Any, Any, list[DataCollectionResponse]]
Turn: TypeAlias = AbstractAsyncContextManager[None]


class PluginState(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin is doing.

    Attributes:
        state: ``degraded`` means that it serves, and that something is wrong: a change could not start and
            the instance before it goes on, or its process does not answer when it is asked how it is.
        reason: Why, where the state is not ``ready``.
        since_us: Wall clock, microseconds, of the change to this state.
        abandoned: Handlers that nobody waits for any more (deadline passed, caller gone) and that still run.
        restarts: How often it was lost while it served, and started anew.
    """

    state: State
    reason: str = ""
    since_us: int = 0
    abandoned: int = 0
    restarts: int = 0


class Calls(Protocol):
    """The hooks, each returning an awaitable of a checked result.

    Handlers work on copies: a failed call leaves no trace in what it was given. Cancelling a call ends it at
    once, even when the handler refuses to end; so a deadline (``call_with_deadline``) always holds.

    Raises, all of them:
        PluginNotReadyError, PluginCallError, PluginProtocolError, PluginTooLargeError: See
            ``weir_host.errors``.
    """

    def pre_auth(self, call: CallInfo, request: Request, /) -> RequestCall: ...
    def auth(self, call: CallInfo, request: Request, /) -> RequestCall: ...
    def post_auth(self, call: CallInfo, request: Request, /) -> RequestCall: ...

    def response_headers(self, call: CallInfo, response: Response, /) -> ResponseCall:
        """The changed answer; None means unchanged."""
        ...

    def response_body(self, call: CallInfo, response: Response, /) -> ResponseCall:
        """The changed answer; None means unchanged. A chunk with an empty body is to be swallowed."""
        ...

    def stream_complete(self, call: CallInfo, stream: StreamComplete, /) -> StreamCall:
        """A stream is over; nothing can be changed any more, the call's metadata neither."""
        ...

    def proxy_log(self, log: ProxyLog, /) -> CollectorCall: ...
    def analytics(self, analytics: Analytics, /) -> CollectorCall: ...
    def budget_usage(self, usage: BudgetUsage, /) -> CollectorCall: ...

    def batch(self, events: Sequence[Event], /) -> BatchCall:
        """One response for each event, in order; by the single handlers where the plugin has no batch form.

        The single handlers' failures are responses with ``success`` false; a failing batch handler raises.
        """
        ...

    def edge_payload(self, payload: EdgePayload, /) -> PayloadCall:
        """What a studio plugin makes of a payload from the edge."""
        ...

    def implements(self, hook: str, /) -> bool:
        """Whether it serves a hook type (``post_auth``) or has a handler (``handle_post_auth``).

        Only what the plugin's ``hook_types`` name counts.
        """
        ...

    def turn(self, handler: str, /) -> Turn:
        """Entered when there is room for one more call of the handler; the room is kept until it is left.

        Calls need no turn. It is for callers with a backlog: a deadline that is set within the turn is that
        of the call alone, while a call without one may spend it waiting for a thread.
        """
        ...


class Instance(Calls, Protocol):
    """One plugin, whatever becomes of it. The same object through restarts and changes, so it may be kept.

    While it cannot serve, its calls raise ``PluginNotReadyError``, and it implements what its hook types
    name.
    """

    @property
    def plugin_id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def state(self) -> State: ...
    @property
    def reason(self) -> str: ...
    @property
    def restarts(self) -> int: ...


class RunningPlugin(Protocol):
    """One start of a plugin, in this process or in one of its own."""

    async def start(self) -> None:
        """Bring it up; returns when it can serve. Cancelled when it takes too long.

        Raises:
            PluginStartError: It cannot serve; nothing of it is left behind.
        """
        ...

    async def stop(self) -> None:
        """Wait for calls in flight, within limits, then shut it down. Never raises what the plugin raises."""
        ...

    async def wait_gone(self) -> str:
        """Wait until what was started cannot serve any more, without having been stopped; return why."""
        ...

    @property
    def calls(self) -> Calls:
        """What it serves, once it has started. They fail at once when it is gone."""
        ...

    @property
    def complaint(self) -> str:
        """What is wrong with it although it serves; empty when nothing is."""
        ...

    @property
    def abandoned(self) -> int:
        """Handlers that nobody waits for any more and that still run."""
        ...
