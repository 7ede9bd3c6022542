"""One plugin's calls about one kind of event: alone or in batches, in turns, each within its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from weir_collectors.batching import Batcher
from weir_collectors.breaker import Breaker, finds_sink_away
from weir_collectors.decoding import ReadEvent
from weir_collectors.errors import (
    BatchRefusedError,
    CollectorNotReadyError,
    CollectorRefusedError,
    CollectorStartingError,
    UnreadableEventError,
    brief,
    unquoted,
)
from weir_collectors.kinds import EventKind
from weir_collectors.starting import StartWait
from weir_core.objects import Plugin
from weir_host.errors import PluginError, PluginNotReadyError
from weir_host.host import PluginHost
from weir_host.instance import CollectorCall, Instance
from weir_host.invoke import call_with_deadline
from weir_sdk import Analytics, BudgetUsage, DataCollectionResponse, Event, ProxyLog

_Result = TypeVar("_Result")
_Answer = TypeVar("_Answer")

Teller: TypeAlias = Callable[[Sequence[ReadEvent], "Sequence[_Answer | Exception]"], None]
"""Told what was answered, or what went wrong, about some events: as many answers, in their order."""

_BATCH: Final = "handle_batch"
_SERVING: Final = frozenset({"ready", "degraded"})


class _Form(NamedTuple):
    """How a kind of event reaches a plugin: its message, its handler's name, and the call."""

    decoder: msgspec.json.Decoder[Any]
    handler: str
    call: Callable[[Instance, Any], CollectorCall]


_FORMS: Final = {
    EventKind.PROXY_LOG: _Form(
        msgspec.json.Decoder(ProxyLog), "handle_proxy_log", lambda plugin, message: plugin.proxy_log(message)
    ),
    EventKind.ANALYTICS: _Form(
        msgspec.json.Decoder(Analytics), "handle_analytics", lambda plugin, message: plugin.analytics(message)
    ),
    EventKind.BUDGET_USAGE: _Form(
        msgspec.json.Decoder(BudgetUsage),
        "handle_budget_usage",
        lambda plugin, message: plugin.budget_usage(message),
    ),
}


class CollectorCalls:
    """Asks a plugin about events, and tells the breaker how the calls went.

    Args:
        host: Gives the plugin's present instance, which may change between two calls.
        check: Called when an event's turn has come; raises when it is not to be asked about any more.
        wait: Says how long a plugin that is starting is waited for.
    """

    def __init__(
        self,
        plugin: Plugin,
        kind: EventKind,
        *,
        host: PluginHost,
        breaker: Breaker,
        check: Callable[[], None],
        wait: StartWait,
    ) -> None:
        self._plugin = plugin
        self._kind = kind
        self._form = _FORMS[kind]
        self._host = host
        self._breaker = breaker
        self._check = check
        self._wait = wait
        self._turns = asyncio.Semaphore(plugin.collector.window)
        self._batcher = Batcher(self._call_waiting, plugin.collector.window)
        self._lost: tuple[Instance, int] | None = None

    def exist(self) -> bool:
        """Whether it has a handler for this kind of event; taken as yes while it cannot be known."""
        instance = self._host.get(self._plugin.id)
        if instance is None or instance.state not in _SERVING:
            return True
        return instance.implements(_BATCH) or instance.implements(self._form.handler)

    def are_coming(self) -> bool:
        """Whether the plugin is on its way and cannot be asked yet."""
        instance = self._host.get(self._plugin.id)
        return instance is not None and instance.state == "starting"

    async def until_started(self, given_up: Callable[[], bool]) -> None:
        """Wait while the plugin is on its way, but not for ever, and not once this is ``given_up``."""
        await self._wait.until(lambda: given_up() or not self.are_coming())

    async def ask(self, event: ReadEvent) -> bool:
        """Ask in turn, together with others where the plugin takes batches; return whether it handled.

        Raises:
            CollectorStartingError: The plugin is on its way: ask again when it has started.
            CollectorsError, PluginError: It did not succeed; or what ``check`` raises.
        """
        # Read anew for each call, so that what a collector does to its message stays with that call.
        message = self._message(event)
        if self._serving().implements(_BATCH):
            return _handled(await self._batcher.ask(message))
        async with self._turns:
            self._check()
            return _handled(await self._call_alone(message, self._check))

    def take_batches(self) -> bool:
        """Whether the plugin serves now, and gets events in batches."""
        instance = self._host.get(self._plugin.id)
        return instance is not None and instance.state in _SERVING and instance.implements(_BATCH)

    async def ask_together(self, events: Sequence[ReadEvent], tell: Teller[bool]) -> None:
        """As ``ask`` for each of several events, of a plugin that takes batches; an error is an answer, too.

        Answers are told as soon as there are some.
        """
        readable, messages = [], []
        for event in events:
            try:
                messages.append(self._message(event))
                readable.append(event)
            except UnreadableEventError as error:
                tell([event], [error])

        def hear(first: int, responses: Sequence[DataCollectionResponse | Exception]) -> None:
            tell(readable[first : first + len(responses)], [_verdict(response) for response in responses])

        await self._batcher.ask_all(messages, hear)

    async def ask_alone(self, event: ReadEvent, *, unchecked: bool) -> bool:
        """Ask about nothing but this event; as ``ask`` in everything else, but for an ``unchecked`` one."""
        message = self._message(event)
        check = _no_check if unchecked else self._check
        async with self._turns:
            check()
            return _handled(await self._call_alone(message, check))

    async def _call_alone(self, message: Event, check: Callable[[], None]) -> DataCollectionResponse:
        instance = self._serving()
        if instance.implements(_BATCH):
            return (await self._call_batch([message], check))[0]
        if instance.implements(self._form.handler):
            async with instance.turn(self._form.handler):
                check()
                return await self._in_time(instance, self._form.call(instance, message))
        return DataCollectionResponse()

    async def _call_waiting(self, messages: list[Event]) -> list[DataCollectionResponse]:
        return await self._call_batch(messages, self._check)

    async def _call_batch(
        self, messages: list[Event], check: Callable[[], None]
    ) -> list[DataCollectionResponse]:
        instance = self._serving()
        try:
            async with instance.turn(_BATCH):
                check()
                return await self._in_time(instance, instance.batch(messages))
        except PluginError as error:
            if error.retryable or len(messages) == 1:
                raise
            # What fails for good in company may be another event's fault: each gets its try alone.
            what = f"a batch of {len(messages)} events failed"
            raise BatchRefusedError(
                f"{what}: {brief(error)}", unquoted=f"{what}: {unquoted(error)}"
            ) from error

    async def _in_time(self, instance: Instance, call: Coroutine[Any, Any, _Result]) -> _Result:
        loop = asyncio.get_running_loop()
        start = (instance, instance.restarts)
        deadline = loop.time() + self._plugin.collector.timeout_ms / 1000
        try:
            answer = await call_with_deadline(call, deadline, loop)
        except Exception as error:  # foreign code; only what it says of the sink is of interest here
            if finds_sink_away(error) and not self._is_known(error, start):
                self._breaker.failed(brief(error, self._plugin.secrets), unquoted(error))
            raise
        self._breaker.succeeded()
        return answer

    def _is_known(self, error: Exception, start: tuple[Instance, int]) -> bool:
        """Whether the breaker has been told: a lost process is one failure, however many calls it had."""
        if not isinstance(error, PluginNotReadyError):
            return False
        known, self._lost = self._lost == start, start
        return known

    def _message(self, event: ReadEvent) -> Event:
        try:
            message: Event = self._form.decoder.decode(event.value)
        except msgspec.MsgspecError as error:
            raise UnreadableEventError(
                f"event {event.event_id} is not a {self._kind} as this release knows it: {error}"
            ) from error
        return message

    def _serving(self) -> Instance:
        instance = self._host.get(self._plugin.id)
        slug = self._plugin.slug
        if instance is None:
            raise self._not_ready(f"collector {slug} is not running in this process")
        if instance.state == "starting" and not self._wait.is_over:
            raise CollectorStartingError(f"collector {slug} is starting")
        if instance.state not in _SERVING:
            raise self._not_ready(
                f"collector {slug} is {instance.state}: {instance.reason or 'no reason given'}"
            )
        self._wait.begin_anew()
        return instance

    def _not_ready(self, message: str) -> CollectorNotReadyError:
        self._breaker.failed(message)
        return CollectorNotReadyError(message)


def _handled(response: DataCollectionResponse) -> bool:
    if not response.success:
        raise CollectorRefusedError(
            response.error_message or "the collector reported a failure without a message",
            retryable=response.retryable,
        )
    return response.handled


def _verdict(response: DataCollectionResponse | Exception) -> bool | Exception:
    if isinstance(response, Exception):
        return response
    try:
        return _handled(response)
    except CollectorRefusedError as error:
        return error


def _no_check() -> None:
    """For calls that a closed way does not stop."""
