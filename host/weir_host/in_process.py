"""``python://`` plugins: one object in the gateway's own process.

| a handler ...                      | and the call ...                                                      |
|------------------------------------|-----------------------------------------------------------------------|
| raises, or calls ``sys.exit``      | raises ``PluginCallError``                                            |
| answers rubbish                    | raises ``PluginProtocolError``                                        |
| waits when its caller is cancelled | ends at once; the handler is cancelled, then closed after a grace     |
| runs in a thread at that moment    | ends at once; the thread is counted as abandoned until it ends        |
| computes without ever waiting      | ends when it ends; nothing can interrupt it (``def`` runs in a thread)|
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine, Sequence
from contextlib import nullcontext, suppress
from typing import Any, Final

from weir_core.objects import Plugin
from weir_host.calls import CallInfo, RequestOutcome
from weir_host.commands import PythonCommand
from weir_host.errors import (
    PluginCallError,
    PluginError,
    PluginNotReadyError,
    PluginProtocolError,
    PluginStartError,
)
from weir_host.instance import Turn
from weir_host.limits import HostLimits
from weir_host.loading import handlers_of, load_plugin, require_handlers, served_hooks
from weir_host.running import HandlerRunner, Invocation
from weir_sdk import (
    Analytics,
    BasePlugin,
    BudgetUsage,
    Context,
    DataCollectionResponse,
    EdgePayload,
    EdgePayloadResponse,
    Event,
    ProxyLog,
    Request,
    Response,
    StreamComplete,
)
from weir_sdk.context import Surroundings, call_of
from weir_sdk.errors import HandlerQuitError, RubbishError
from weir_sdk.outcomes import (
    auth_outcome,
    batch_outcome,
    collector_outcome,
    keep_metadata,
    request_outcome,
    response_outcome,
    stream_outcome,
)
from weir_sdk.payloads import payload_outcome
from weir_sdk.wire.failures import described, type_described
from weir_sdk.wire.payloads import PAYLOAD_ID

_COLLECTOR_OF: Final[dict[type[Event], str]] = {
    ProxyLog: "handle_proxy_log",
    Analytics: "handle_analytics",
    BudgetUsage: "handle_budget_usage",
}


class InProcessPlugin:
    """One start of one ``python://`` plugin; a ``RunningPlugin``."""

    def __init__(
        self,
        plugin: Plugin,
        command: PythonCommand,
        *,
        hook_types: frozenset[str],
        plugin_modules: tuple[str, ...] | None,
        surroundings: Surroundings,
        limits: HostLimits,
    ) -> None:
        self._plugin = plugin
        self._command = command
        self._hook_types = sorted(hook_types.intersection(plugin.hook_types))
        self._plugin_modules = plugin_modules
        self._surroundings = surroundings
        self._limits = limits
        self._runner = HandlerRunner(f"weir-plugin-{plugin.slug}", limits)
        self._handlers: dict[str, Invocation] = {}
        self._turns: dict[str, Turn] = {}
        self._serves: frozenset[str] = frozenset()
        self._shutdown: Invocation | None = None

    async def start(self) -> None:
        """Import, construct and initialise the plugin."""
        runner = self._runner
        try:
            loaded = await runner.in_thread(load_plugin, self._command, self._plugin_modules)
            assert isinstance(loaded, BasePlugin)
            required = require_handlers(type(loaded).__name__, handlers_of(loaded), self._hook_types)
            handlers = {name: getattr(loaded, name) for name in required}
            self._handlers = {name: runner.invocation(handler) for name, handler in handlers.items()}
            self._turns = {name: runner.turn(handler) for name, handler in handlers.items()}
            self._serves = served_hooks(handlers)
            self._shutdown = runner.invocation(loaded.shutdown)
            await runner.invocation(loaded.initialize)(self._context(), copy.deepcopy(self._plugin.config))
        except BaseException as error:
            runner.close()
            if isinstance(error, PluginError | asyncio.CancelledError | KeyboardInterrupt):
                raise
            raise PluginStartError(f"initialize failed: {described(error)}") from error

    async def stop(self) -> None:
        """Wait for calls in flight, then shut the plugin down."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.drain_s):
                    await self._runner.idle()
            if self._shutdown is not None:
                async with asyncio.timeout(self._limits.stop_s):
                    await self._shutdown(self._context())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code, and it is gone either way
            self._surroundings.services.logger.warning("plugin failed in shutdown", error=described(error))
        finally:
            self._runner.close()

    async def wait_gone(self) -> str:
        """Never: it is gone when this process is."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    @property
    def calls(self) -> InProcessPlugin:
        """What it serves, once it has started."""
        return self

    @property
    def complaint(self) -> str:
        """Nothing is ever wrong with it that its calls would not say."""
        return ""

    @property
    def abandoned(self) -> int:
        """Handlers that nobody waits for any more and that still run."""
        return self._runner.abandoned

    def implements(self, hook: str) -> bool:
        """Whether a handler or a hook type of this name is served."""
        return hook in self._serves

    def turn(self, handler: str) -> Turn:
        """Room for a call of a handler: the plugin's plain ``def`` handlers share its threads."""
        return self._turns.get(handler, nullcontext())

    def pre_auth(self, call: CallInfo, request: Request) -> Coroutine[Any, Any, RequestOutcome]:
        """Run ``handle_pre_auth``."""
        return self._request_hook("handle_pre_auth", call, request)

    def post_auth(self, call: CallInfo, request: Request) -> Coroutine[Any, Any, RequestOutcome]:
        """Run ``handle_post_auth``."""
        return self._request_hook("handle_post_auth", call, request)

    async def auth(self, call: CallInfo, request: Request) -> RequestOutcome:
        """Run ``handle_auth``."""
        name = "handle_auth"
        handler = self._handler(name)
        context = Context(call, self._surroundings)
        try:
            outcome = auth_outcome(await handler(context, request.copy()))
            keep_metadata(context, call, outcome.context_updates)
        except (Exception, SystemExit) as error:
            raise self._failure(name, error) from error
        return outcome

    async def response_headers(self, call: CallInfo, response: Response) -> Response | None:
        """Run ``on_before_write_headers``, if the plugin has it."""
        return await self._response_hook("on_before_write_headers", call, response, with_body=False)

    async def response_body(self, call: CallInfo, response: Response) -> Response | None:
        """Run ``on_before_write``, if the plugin has it."""
        return await self._response_hook("on_before_write", call, response, with_body=True)

    async def stream_complete(self, call: CallInfo, stream: StreamComplete) -> None:
        """Run ``on_stream_complete``, if the plugin has it."""
        name = "on_stream_complete"
        handler = self._handlers.get(name)
        if handler is None:
            return
        context = Context(call, self._surroundings)
        try:
            stream_outcome(await handler(context, stream.copy()))
        except (Exception, SystemExit) as error:
            raise self._failure(name, error) from error

    def proxy_log(self, log: ProxyLog) -> Coroutine[Any, Any, DataCollectionResponse]:
        """Run ``handle_proxy_log``."""
        return self._collect(log)

    def analytics(self, analytics: Analytics) -> Coroutine[Any, Any, DataCollectionResponse]:
        """Run ``handle_analytics``."""
        return self._collect(analytics)

    def budget_usage(self, usage: BudgetUsage) -> Coroutine[Any, Any, DataCollectionResponse]:
        """Run ``handle_budget_usage``."""
        return self._collect(usage)

    async def batch(self, events: Sequence[Event]) -> list[DataCollectionResponse]:
        """Run ``handle_batch``, or the single handlers one by one."""
        name = "handle_batch"
        if name not in self._handlers:
            return [await self._collect_or_say_why(event) for event in events]
        try:
            return batch_outcome(await self._handlers[name](self._context(), list(events)), len(events))
        except (Exception, SystemExit) as error:
            raise self._failure(name, error) from error

    async def edge_payload(self, payload: EdgePayload) -> EdgePayloadResponse:
        """Run ``accept_edge_payload``."""
        name = "accept_edge_payload"
        handler = self._handler(name)
        call = CallInfo(metadata={PAYLOAD_ID: payload.id})
        try:
            return payload_outcome(await handler(Context(call, self._surroundings), payload))
        except (Exception, SystemExit) as error:
            raise self._failure(name, error) from error

    async def _request_hook(self, name: str, call: CallInfo, request: Request) -> RequestOutcome:
        handler = self._handler(name)
        context = Context(call, self._surroundings)
        try:
            shown = request.copy()
            outcome = request_outcome(await handler(context, shown), shown, request)
            keep_metadata(context, call, outcome.context_updates)
        except (Exception, SystemExit) as error:
            raise self._failure(name, error) from error
        return outcome

    async def _response_hook(
        self, name: str, call: CallInfo, response: Response, *, with_body: bool
    ) -> Response | None:
        handler = self._handlers.get(name)
        if handler is None:
            return None
        context = Context(call, self._surroundings)
        try:
            shown = response.copy()
            changed = response_outcome(await handler(context, shown), shown, response, with_body=with_body)
            keep_metadata(context, call)
        except (Exception, SystemExit) as error:
            raise self._failure(name, error) from error
        return changed

    async def _collect(self, event: Event) -> DataCollectionResponse:
        name = _COLLECTOR_OF[type(event)]
        if name not in self._handlers and "handle_batch" in self._handlers:
            return (await self.batch([event]))[0]
        handler = self._handler(name)
        try:
            return collector_outcome(await handler(Context(call_of(event), self._surroundings), event))
        except (Exception, SystemExit) as error:
            raise self._failure(name, error) from error

    async def _collect_or_say_why(self, event: Event) -> DataCollectionResponse:
        try:
            return await self._collect(event)
        except PluginError as error:
            return DataCollectionResponse(success=False, error_message=str(error), retryable=error.retryable)

    def _handler(self, name: str) -> Invocation:
        handler = self._handlers.get(name)
        if handler is None:
            raise PluginNotReadyError(
                f"plugin {self._plugin.name!r} does not serve {name}; its hook_types say what it serves"
            )
        return handler

    def _failure(self, name: str, error: BaseException) -> PluginError:
        who = f"plugin {self._plugin.name!r}: {name}"
        if isinstance(error, RubbishError):
            return PluginProtocolError(f"{who} {error}", unquoted=f"{who} answered what cannot be used")
        if isinstance(error, SystemExit):
            error = HandlerQuitError(f"it called sys.exit({error.code!r})")
        description = described(error)
        return PluginCallError(
            f"{who} raised {description}",
            unquoted=f"{who} raised {type_described(description)}",
            retryable=bool(getattr(error, "retryable", True)),
        )

    def _context(self) -> Context:
        return Context(CallInfo(), self._surroundings)
