"""One collector and one kind of event: tries, pauses and its breaker, until there is a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum

from weir_collectors.backoff import Backoff
from weir_collectors.breaker import Breaker, finds_sink_away
from weir_collectors.calling import CollectorCalls, Teller
from weir_collectors.decoding import ReadEvent
from weir_collectors.errors import (
    CollectorRetiredError,
    CollectorStartingError,
    SinkAwayError,
    brief,
    unquoted,
)
from weir_collectors.handled import Decision
from weir_collectors.kinds import EventKind
from weir_collectors.starting import StartWait
from weir_core.objects import Plugin
from weir_host.host import PluginHost


class _Way(Enum):
    """How an event may go to the plugin now."""

    FREE = "free"
    PROBE = "probe"
    """As the one event that finds out whether the sink is back."""
    CLOSED = "closed"


class Collector:
    """Decides about events of one kind on behalf of one plugin.

    Args:
        plugin: A plugin that ``check_collector`` accepts.
        llm_ids: The LLMs it is restricted to; empty means all.
        host: Gives the plugin's present instance, which may change between two calls.
        breaker: This collector's own.
        sleep: Waits between two tries, and between two looks at a plugin that is starting.
    """

    def __init__(
        self,
        plugin: Plugin,
        kind: EventKind,
        llm_ids: frozenset[int],
        *,
        host: PluginHost,
        backoff: Backoff,
        breaker: Breaker,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.plugin = plugin
        self.kind = kind
        self.llm_ids = llm_ids
        self.breaker = breaker
        self._backoff = backoff
        self._sleep = sleep
        self._pauses = plugin.collector.on_outage == "pause"
        self._calls = CollectorCalls(
            plugin, kind, host=host, breaker=breaker, check=self._check, wait=StartWait(sleep)
        )
        self._skip_reason: str | None = None
        self._retired = False
        self._paused = 0
        # What nearly every event comes to; the same two objects do for all of them.
        self._taken = {handled: Decision(plugin.slug, handled=handled) for handled in (False, True)}

    @property
    def paused(self) -> bool:
        """Whether events wait for its sink to come back, and with them their group."""
        return self._paused > 0

    @property
    def skipping(self) -> bool:
        """Whether it lets events past to catch up."""
        return self._skip_reason is not None

    def wants(self, event: ReadEvent) -> bool:
        """Whether the event is of an LLM and a namespace that this collector is for."""
        return (not self.llm_ids or event.llm_id in self.llm_ids) and (
            self.plugin.namespace in ("", event.edge_namespace)
        )

    def collects(self) -> bool:
        """Whether it has a handler for this kind of event; taken as yes while it cannot be known."""
        return self._calls.exist()

    def is_starting(self) -> bool:
        """Whether its plugin is on its way and cannot be asked yet."""
        return self._calls.are_coming()

    def skip(self, reason: str) -> None:
        """Let every event past from now on, those that wait included."""
        self._skip_reason = reason
        self.breaker.wake()

    def resume(self) -> None:
        """Ask about events again."""
        self._skip_reason = None

    def retire(self) -> None:
        """Give back the events that wait for its sink: they belong to its successor, or to nobody."""
        self._retired = True
        self.breaker.wake()

    def asks_together(self) -> bool:
        """Whether events can be asked about together now: the sink is there, and takes batches."""
        return self._skip_reason is None and self.breaker.closed and self._calls.take_batches()

    async def ask_together(self, events: Sequence[ReadEvent], tell: Teller[Decision]) -> None:
        """Ask once about several events, without a task for each.

        The error that is told instead of a decision is for ``decide``, which goes on from there.
        """

        def hear(asked: Sequence[ReadEvent], verdicts: Sequence[bool | Exception]) -> None:
            tell(asked, [item if isinstance(item, Exception) else self._taken[item] for item in verdicts])

        await self._calls.ask_together(events, hear)

    async def decide(self, event: ReadEvent, failure: Exception | None = None) -> Decision:
        """Ask until the collector succeeds, fails for good, has used up its tries, or its sink is away.

        With ``on_outage = pause`` a sink that is away is waited for, however long that takes.

        Args:
            failure: What the first call came to, if ``ask_together`` has made it.

        Raises:
            CollectorRetiredError: It was retired while the event waited; nothing else is ever raised.
        """
        tries = failures = 0
        while True:
            outcome: bool | Exception
            if failure is not None:
                outcome, failure = failure, None
            else:
                way = await self._way()
                if way is _Way.CLOSED:
                    return self._skipped(tries)
                last = tries + 1 == self.plugin.collector.max_tries > 1
                outcome = await self._outcome(event, way, alone=last)
            if isinstance(outcome, bool):
                return Decision(self.plugin.slug, handled=outcome, tries=tries + 1)
            if isinstance(outcome, SinkAwayError):
                continue
            if isinstance(outcome, CollectorStartingError):
                await self._calls.until_started(lambda: self._retired or self.skipping)
                self._stay()
                continue
            failures += 1
            # A sink that will be waited for anyway does not use an event's tries up.
            tries += not (self._pauses and finds_sink_away(outcome))
            if self._is_final(outcome, tries):
                return self._failed(outcome, tries)
            await self._sleep(self._backoff.after(failures))

    async def _outcome(self, event: ReadEvent, way: _Way, *, alone: bool) -> bool | Exception:
        try:
            return await self._ask(event, way, alone=alone)
        except Exception as error:  # noqa: BLE001 - foreign code; its failure is a decision, not ours
            return error

    async def redrive(self, events: Sequence[ReadEvent], *, first: bool) -> list[Decision]:
        """As ``decide``, for events that it did not get; ``skipped`` says that the sink is away.

        The ``first`` events of a redrive find out whether the sink is back, whatever the breaker thinks.
        Never waits for a sink, and never raises.
        """
        return await asyncio.gather(*(self._redrive(event, first=first) for event in events))

    async def _redrive(self, event: ReadEvent, *, first: bool) -> Decision:
        tries = 0
        while True:
            tries += 1
            alone = first or tries == self.plugin.collector.max_tries > 1
            try:
                handled = await (
                    self._calls.ask_alone(event, unchecked=first) if alone else self._calls.ask(event)
                )
            except (SinkAwayError, CollectorStartingError) as error:
                return self._failed(error, tries - 1, away=True)
            except Exception as error:  # noqa: BLE001 - as above
                if self._is_final(error, tries):
                    return self._failed(error, tries, away=finds_sink_away(error))
            else:
                return Decision(self.plugin.slug, handled=handled, tries=tries)
            await self._sleep(self._backoff.after(tries))

    async def _ask(self, event: ReadEvent, way: _Way, *, alone: bool) -> bool:
        if way is _Way.PROBE:
            try:
                return await self._calls.ask_alone(event, unchecked=True)
            finally:
                self.breaker.end_probe()
        # The last of several tries goes alone, so that an event that spoils every batch it is in does not
        # fail its neighbours.
        return await (self._calls.ask_alone(event, unchecked=False) if alone else self._calls.ask(event))

    async def _way(self) -> _Way:
        while True:
            if self._skip_reason is not None:
                return _Way.CLOSED
            if self.breaker.closed:
                return _Way.FREE
            if self.breaker.take_probe():
                return _Way.PROBE
            if not self._pauses:
                return _Way.CLOSED
            self._stay()
            self._paused += 1
            try:
                await self.breaker.until_changed()
            finally:
                self._paused -= 1

    def _stay(self) -> None:
        """Raises CollectorRetiredError when there is nothing to wait for any more."""
        if self._retired:
            raise CollectorRetiredError(f"collector {self.plugin.slug} was replaced or switched off")

    def _check(self) -> None:
        """Turn back an event whose turn has come after its sink was found to be away."""
        if self._skip_reason is not None or not self.breaker.closed:
            raise SinkAwayError(self._why(), unquoted=self._why_unquoted())

    def _why(self) -> str:
        return self._skip_reason or self.breaker.reason

    def _why_unquoted(self) -> str:
        return self._skip_reason or self.breaker.unquoted

    def _is_final(self, error: Exception, tries: int) -> bool:
        return tries >= self.plugin.collector.max_tries or not getattr(error, "retryable", True)

    def _skipped(self, tries: int) -> Decision:
        why, own = self._why(), self._why_unquoted()
        return Decision(self.plugin.slug, tries=tries, error=why, skipped=True, unquoted=own)

    def _failed(self, error: Exception, tries: int, *, away: bool = False) -> Decision:
        retryable = bool(getattr(error, "retryable", True))
        reason = brief(error, self.plugin.secrets)
        return Decision(
            self.plugin.slug,
            tries=tries,
            error=reason,
            retryable=retryable,
            skipped=away,
            unquoted=unquoted(error),
        )
