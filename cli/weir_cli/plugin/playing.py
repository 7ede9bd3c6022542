"""What a gateway does with a call or an event, done with one plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, TypeAlias

from weir_cli.plugin.effects import (
    Change,
    Effect,
    Outcome,
    block_of,
    event_changes,
    metadata_changes,
    request_changes,
    response_changes,
)
from weir_cli.plugin.recorded import Exchange, Recorded, exchange_of
from weir_cli.plugin.rig import COLLECTOR_TIMEOUT_S, HOOK_TIMEOUT_S, timed
from weir_core.errors import SseEventTooLargeError
from weir_core.vendors.sse import SseEvent
from weir_host.calls import CallInfo, RequestOutcome
from weir_host.errors import PluginError
from weir_host.instance import CollectorCall, Instance, RequestCall
from weir_proxy.frames import reframed
from weir_sdk import (
    Analytics,
    BudgetUsage,
    Credential,
    DataCollectionResponse,
    Event,
    ProxyLog,
    Request,
    Response,
    StreamComplete,
)

_Effects: TypeAlias = AsyncIterator[Effect]
_REQUEST_HOOKS: Final[tuple[tuple[str, Callable[[Instance, CallInfo, Request], RequestCall]], ...]] = (
    ("pre_auth", lambda plugin, info, request: plugin.pre_auth(info, request)),
    ("auth", lambda plugin, info, request: plugin.auth(info, request)),
    ("post_auth", lambda plugin, info, request: plugin.post_auth(info, request)),
)
_COLLECTORS: Final[dict[type[Event], tuple[str, Callable[[Instance, Any], CollectorCall]]]] = {
    ProxyLog: ("handle_proxy_log", lambda plugin, event: plugin.proxy_log(event)),
    Analytics: ("handle_analytics", lambda plugin, event: plugin.analytics(event)),
    BudgetUsage: ("handle_budget_usage", lambda plugin, event: plugin.budget_usage(event)),
}
_BATCH: Final = "handle_batch"


class Player:
    """Shows a plugin what is recorded, hook by hook in the gateway's order.

    A call ends where a gateway would have ended it: with a block, or with the failure of a hook before the
    upstream. What one hook changed the next one sees.

    Args:
        plugin: It serves the hooks that are to be played, and no others.
        timeout_s: For each call of a hook; what a gateway gives unless it is changed.
    """

    def __init__(self, plugin: Instance, timeout_s: float | None = None) -> None:
        self._plugin = plugin
        self._hook_s = HOOK_TIMEOUT_S if timeout_s is None else timeout_s
        self._collector_s = COLLECTOR_TIMEOUT_S if timeout_s is None else timeout_s

    async def play(self, recorded: Recorded) -> _Effects:
        """Yield what each hook did. A proxy log is a call, and an event after that."""
        if isinstance(recorded, Exchange):
            effects = self._exchange(recorded)
        else:
            effects = self._event(recorded)
            if isinstance(recorded, ProxyLog):
                async for effect in self._exchange(exchange_of(recorded)):
                    yield effect
        async for effect in effects:
            yield effect

    async def _exchange(self, exchange: Exchange) -> _Effects:
        call = exchange.call
        info = CallInfo(
            request_id=call.request_id,
            llm_id=call.llm_id,
            llm_slug=call.llm_slug,
            vendor=call.vendor,
            metadata=call.metadata.copy(),
        )
        request = exchange.request.copy()
        caller = Credential(app_id=call.app_id, user_id=call.user_id or "")
        for hook, ask in _REQUEST_HOOKS:
            if hook == "post_auth":
                _introduce(info, request, caller, call.app_id)
            if not self._plugin.implements(hook):
                continue
            effect, outcome = await self._request_hook(hook, ask, info, request)
            yield effect
            if outcome is None or outcome.block is not None:
                return
            request = outcome.request or request
            caller = outcome.credential or caller
        if exchange.response is not None:
            async for effect in self._answer(info, request, exchange, exchange.response):
                yield effect

    async def _request_hook(
        self,
        hook: str,
        ask: Callable[[Instance, CallInfo, Request], RequestCall],
        info: CallInfo,
        request: Request,
    ) -> tuple[Effect, RequestOutcome | None]:
        notes = info.metadata.copy()
        note = _Note(info.request_id, f"handle_{hook}")
        try:
            outcome, took_ms = await timed(ask(self._plugin, info, request), self._hook_s)
        except PluginError as error:
            return note.failed(error), None
        changes = (
            *(() if outcome.request is None else request_changes(request, outcome.request)),
            *metadata_changes(notes, info.metadata),
        )
        effect = note.done(
            _outcome_of(hook, outcome, changes),
            took_ms,
            changes=changes,
            block=None if outcome.block is None else block_of(outcome.block),
            credential=outcome.credential,
        )
        return effect, outcome

    async def _answer(
        self, info: CallInfo, request: Request, exchange: Exchange, response: Response
    ) -> _Effects:
        """The response hooks, over an answer in one piece or over a stream."""
        if self._plugin.implements("on_before_write_headers"):
            effect, response = await self._response_hook(
                "on_before_write_headers", self._plugin.response_headers, info, response
            )
            yield effect
        if exchange.events is None:
            if self._plugin.implements("on_before_write"):
                yield (
                    await self._response_hook("on_before_write", self._plugin.response_body, info, response)
                )[0]
            return
        released = list(exchange.events)
        if self._plugin.implements("on_before_write"):
            effect, released = await self._stream(info, response, exchange.events)
            yield effect
        if self._plugin.implements("on_stream_complete"):
            yield await self._complete(info, response, released, request.body)

    async def _response_hook(
        self,
        hook: str,
        ask: Callable[[CallInfo, Response], Coroutine[Any, Any, Response | None]],
        info: CallInfo,
        response: Response,
    ) -> tuple[Effect, Response]:
        notes = info.metadata.copy()
        note = _Note(info.request_id, hook)
        try:
            changed, took_ms = await timed(ask(info, response), self._hook_s)
        except PluginError as error:
            return note.failed(error), response
        after = changed or response
        changes = (*response_changes(response, after), *metadata_changes(notes, info.metadata))
        return note.done("changed" if changes else "unchanged", took_ms, changes=changes), after

    async def _stream(
        self, info: CallInfo, head: Response, events: tuple[SseEvent, ...]
    ) -> tuple[Effect, list[SseEvent]]:
        """Every event through ``on_before_write``; one that fails goes on as it is."""
        notes = info.metadata.copy()
        note = _Note(info.request_id, "on_before_write", calls=len(events))
        released: list[SseEvent] = []
        failure: Effect | None = None
        took_ms = 0.0
        for event in events:
            shown = Response(
                status_code=head.status_code,
                headers=head.headers,
                body=event.data,
                is_stream_chunk=True,
                request_id=info.request_id,
            )
            try:
                changed, ms = await timed(self._plugin.response_body(info, shown), self._hook_s)
                released += [event] if changed is None else reframed(event, changed.body)
                took_ms += ms
            except (PluginError, SseEventTooLargeError) as error:
                failure = failure or note.failed(error)
                released.append(event)
        if failure is not None:
            return failure, released
        changes = (
            *event_changes([event.data for event in events], [event.data for event in released]),
            *metadata_changes(notes, info.metadata),
        )
        return note.done("changed" if changes else "unchanged", took_ms, changes=changes), released

    async def _complete(
        self, info: CallInfo, head: Response, released: list[SseEvent], asked: bytes
    ) -> Effect:
        note = _Note(info.request_id, "on_stream_complete")
        stream = StreamComplete(
            body=b"".join(event.raw for event in released),
            headers=head.headers,
            status_code=head.status_code,
            chunk_count=len(released),
            request_body=asked,
        )
        try:
            _, took_ms = await timed(self._plugin.stream_complete(info, stream), self._collector_s)
        except PluginError as error:
            return note.failed(error)
        return note.done("unchanged", took_ms)

    async def _event(self, event: Event) -> _Effects:
        hook, ask = _COLLECTORS[type(event)]
        if self._plugin.implements(_BATCH):
            hook, ask = _BATCH, self._batch_of_one
        elif not self._plugin.implements(hook):
            return
        note = _Note(event.event_id, hook)
        try:
            response, took_ms = await timed(ask(self._plugin, event), self._collector_s)
        except PluginError as error:
            yield note.failed(error)
            return
        if response.success:
            yield note.done("handled" if response.handled else "collected", took_ms)
        else:
            said = response.error_message or "it said success=False, and not why"
            yield note.done("failed", took_ms, error=said, retryable=response.retryable)

    @staticmethod
    async def _batch_of_one(plugin: Instance, event: Event) -> DataCollectionResponse:
        return (await plugin.batch([event]))[0]


class _Note:
    """The beginning of an effect."""

    def __init__(self, subject: str, hook: str, calls: int = 1) -> None:
        self._subject = subject
        self._hook = hook
        self._calls = calls

    def done(self, outcome: Outcome, took_ms: float, **what: Any) -> Effect:
        return Effect(
            subject=self._subject,
            hook=self._hook,
            outcome=outcome,
            took_ms=round(took_ms, 3),
            calls=self._calls,
            **what,
        )

    def failed(self, error: PluginError | SseEventTooLargeError) -> Effect:
        return self.done("failed", 0.0, error=str(error), retryable=error.retryable)


def _outcome_of(hook: str, outcome: RequestOutcome, changes: tuple[Change, ...]) -> Outcome:
    if outcome.block is not None:
        return "answered" if outcome.block.status_code < 400 else "blocked"
    if outcome.credential is not None:
        return "authenticated"
    if hook == "auth":
        return "no_answer"
    return "changed" if changes else "unchanged"


def _introduce(info: CallInfo, request: Request, caller: Credential, default_app: int | None) -> None:
    """Say who calls, as the gateway does once it knows."""
    info.app_id = request.app_id = default_app if caller.app_id is None else caller.app_id
    info.user_id = request.user_id = caller.user_id or None
    request.auth_claims = dict(caller.claims)
    request.authenticated = True
