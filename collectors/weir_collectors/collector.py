"""One collector, asked about one kind of event: calls, deadlines and tries, until there is a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from weir_collectors.backoff import Backoff
from weir_collectors.batching import Batcher
from weir_collectors.decoding import ReadEvent
from weir_collectors.errors import (
    BatchRefusedError,
    CollectorNotReadyError,
    CollectorRefusedError,
    UnreadableEventError,
)
from weir_collectors.handled import Decision
from weir_collectors.kinds import EventKind
from weir_core.objects import Plugin
from weir_host.errors import PluginError
from weir_host.host import PluginHost
from weir_host.instance import CollectorCall, Instance
from weir_host.invoke import call_with_deadline
from weir_sdk import Analytics, BudgetUsage, DataCollectionResponse, Event, ProxyLog

_Result = TypeVar("_Result")

_BATCH: Final = "handle_batch"
_SERVING: Final = frozenset({"ready", "degraded"})
_LONGEST_ERROR: Final = 2000


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


class Collector:
    """Decides about events of one kind on behalf of one plugin.

    Args:
        plugin: A plugin that ``check_collector`` accepts.
        llm_ids: The LLMs it is restricted to; empty means all.
        host: Gives the plugin's present instance, which may change between two calls.
        sleep: Waits between two tries.
    """

    def __init__(
        self,
        plugin: Plugin,
        kind: EventKind,
        llm_ids: frozenset[int],
        *,
        host: PluginHost,
        backoff: Backoff,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.plugin = plugin
        self.llm_ids = llm_ids
        self._kind = kind
        self._form = _FORMS[kind]
        self._host = host
        self._backoff = backoff
        self._sleep = sleep
        self._turns = asyncio.Semaphore(plugin.collector.window)
        self._batcher = Batcher(self._call_batch, plugin.collector.window)

    def wants(self, event: ReadEvent) -> bool:
        """Whether the event is of an LLM and a namespace that this collector is for."""
        return (not self.llm_ids or event.llm_id in self.llm_ids) and (
            self.plugin.namespace in ("", event.edge_namespace)
        )

    def collects(self) -> bool:
        """Whether it has a handler for this kind of event; taken as yes while it cannot be known."""
        instance = self._host.get(self.plugin.id)
        if instance is None or instance.state not in _SERVING:
            return True
        return instance.implements(_BATCH) or instance.implements(self._form.handler)

    async def decide(self, event: ReadEvent) -> Decision:
        """Ask until the collector succeeds, fails for good, or has used up its tries. Never raises."""
        tries = self.plugin.collector.max_tries
        attempt = 0
        while True:
            attempt += 1
            try:
                # The last of several tries goes alone, so that an event that spoils every batch it is in
                # does not fail its neighbours.
                handled = await self._ask(event, alone=attempt == tries > 1)
            except Exception as error:  # noqa: BLE001 - foreign code; its failure is a decision, not ours
                if attempt >= tries or not _is_retryable(error):
                    return Decision(
                        self.plugin.slug, tries=attempt, error=_text(error), retryable=_is_retryable(error)
                    )
            else:
                return Decision(self.plugin.slug, handled=handled, tries=attempt)
            await self._sleep(self._backoff.after(attempt))

    async def _ask(self, event: ReadEvent, *, alone: bool) -> bool:
        # Read anew for each call, so that what a collector does to its message stays with that call.
        message = self._message(event)
        if not alone and self._serving().implements(_BATCH):
            response = await self._batcher.ask(message)
        else:
            async with self._turns:
                response = await self._call_alone(message)
        if not response.success:
            raise CollectorRefusedError(
                response.error_message or "the collector reported a failure without a message",
                retryable=response.retryable,
            )
        return response.handled

    async def _call_alone(self, message: Event) -> DataCollectionResponse:
        instance = self._serving()
        if instance.implements(_BATCH):
            return (await self._call_batch([message]))[0]
        if instance.implements(self._form.handler):
            async with instance.turn(self._form.handler):
                return await self._in_time(self._form.call(instance, message))
        return DataCollectionResponse()

    async def _call_batch(self, messages: list[Event]) -> list[DataCollectionResponse]:
        instance = self._serving()
        try:
            async with instance.turn(_BATCH):
                return await self._in_time(instance.batch(messages))
        except PluginError as error:
            if error.retryable or len(messages) == 1:
                raise
            # What fails for good in company may be another event's fault: each gets its try alone.
            raise BatchRefusedError(f"a batch of {len(messages)} events failed: {error}") from error

    async def _in_time(self, call: Coroutine[Any, Any, _Result]) -> _Result:
        loop = asyncio.get_running_loop()
        return await call_with_deadline(call, loop.time() + self.plugin.collector.timeout_ms / 1000, loop)

    def _message(self, event: ReadEvent) -> Event:
        try:
            message: Event = self._form.decoder.decode(event.value)
        except msgspec.MsgspecError as error:
            raise UnreadableEventError(
                f"event {event.event_id} is not a {self._kind} as this release knows it: {error}"
            ) from error
        return message

    def _serving(self) -> Instance:
        instance = self._host.get(self.plugin.id)
        if instance is None:
            raise CollectorNotReadyError(f"collector {self.plugin.slug} is not running in this process")
        if instance.state not in _SERVING:
            raise CollectorNotReadyError(
                f"collector {self.plugin.slug} is {instance.state}: {instance.reason or 'no reason given'}"
            )
        return instance


def _is_retryable(error: Exception) -> bool:
    return bool(getattr(error, "retryable", True))


def _text(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text[:_LONGEST_ERROR].replace("\x00", "\ufffd")
