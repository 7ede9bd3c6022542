"""What sinks are built on: a batch of events becomes requests, and their answers become one for each event.

A sink says how an event is written (``encode``) and how a request is sent (``send``). The rest is here, or in
the machinery that calls collectors: tries, pauses, the breaker and dead letters. Nothing is kept between two
calls, so that handled is only ever said of what the sink has acknowledged.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from weir_collectors.builtin.errors import (
    RequestTooLargeError,
    SinkError,
    SinkUnreachableError,
)
from weir_collectors.builtin.pacing import Pace
from weir_collectors.builtin.packing import Full, Item, in_requests
from weir_collectors.builtin.sink_config import SinkConfig, config_schema, read_config
from weir_sdk import BasePlugin, Context, DataCollectionResponse, Event

_Config = TypeVar("_Config", bound=SinkConfig)


class Refusal(NamedTuple):
    """Why the sink did not take one event, and whether it may take it another time."""

    message: str
    retryable: bool


Outcome = Refusal | None
"""What became of one event: None is taken."""


class Sink(BasePlugin, ABC, Generic[_Config]):
    """A collector that sends events on in batches.

    Derive from it, set ``config_type``, and write ``open``, ``encode``, ``send`` and ``close``.
    """

    config_type: type[_Config]
    config: _Config

    def get_config_schema(self) -> dict[str, Any]:
        """The JSON Schema of ``config_type``."""
        return config_schema(self.config_type)

    @abstractmethod
    async def open(self, ctx: Context) -> None:
        """Get ready to send, by ``self.config``. A sink that is away now is no reason to fail.

        Raises:
            SinkConfigError: The configuration can never work.
        """

    @abstractmethod
    def encode(self, event: Event) -> bytes:
        """Write an event as this sink's requests carry it.

        Raises:
            ValueError: It cannot be written; it is refused for good, and the others go on.
        """

    @abstractmethod
    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Send one request and return what the sink acknowledged: one outcome for each item, in order.

        Several may be under way at a time. It does not try again.

        Raises:
            SinkUnreachableError: The sink takes nothing now.
            RequestTooLargeError: Smaller requests may do; they are made.
            RequestRefusedError: The request is refused for good; each of its events gets a try alone.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release what was opened. Nothing is being sent any more."""

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        """Read the configuration and open the sink."""
        self.config = read_config(config, self.config_type)
        self._full = Full(self.config.batch_size, self.config.batch_bytes)
        self._pace = Pace(self.config.flush_interval_ms / 1000, asyncio.get_running_loop().time)
        await self.open(ctx)

    async def shutdown(self, ctx: Context) -> None:
        """Close the sink."""
        await self.close()

    async def handle_batch(self, ctx: Context, events: Sequence[Event]) -> list[DataCollectionResponse]:
        """Send a batch of one kind; answer for each event.

        Raises:
            SinkUnreachableError: Nothing was taken, and all of it may be another time.
            RequestRefusedError: The batch was one request, and was refused.
        """
        items, unwritable = self._encode(events)
        outcomes: dict[str, Outcome] = dict(unwritable)
        if items:
            await self._pace.turn(type(events[0]), full=self._full.reached_by(items))
            outcomes |= await self._send_all(items)
        return [self._response(outcomes[event.event_id]) for event in events]

    def _encode(self, events: Sequence[Event]) -> tuple[list[Item], dict[str, Refusal]]:
        items: list[Item] = []
        unwritable: dict[str, Refusal] = {}
        for event in events:
            try:
                items.append(Item(event, self.encode(event)))
            except ValueError as error:
                unwritable[event.event_id] = Refusal(f"the event cannot be written: {error}", retryable=False)
        return items, unwritable

    async def _send_all(self, items: Sequence[Item]) -> dict[str, Outcome]:
        quiet_s = self._pace.quiet_s()
        if quiet_s:
            raise SinkUnreachableError(f"{self.name} asked not to be sent anything for {quiet_s:.0f} s more")
        requests = list(in_requests(items, self._full))
        answers = await asyncio.gather(*(self._send_one(request) for request in requests))
        failures = [answer for answer in answers if isinstance(answer, SinkError)]
        if len(failures) == len(requests):
            raise failures[0]
        outcomes = {
            item.event.event_id: outcome
            for request, answer in zip(requests, answers, strict=True)
            for item, outcome in zip(request, _outcomes(request, answer), strict=True)
        }
        _raise_if_busy(list(outcomes.values()))
        return outcomes

    async def _send_one(self, items: Sequence[Item]) -> Sequence[Outcome] | SinkError:
        try:
            return await self.send(items)
        except RequestTooLargeError as error:
            if len(items) == 1:
                return error
            half = len(items) // 2
            parts = [items[:half], items[half:]]
            return [outcome for part in parts for outcome in _outcomes(part, await self._send_one(part))]
        except SinkError as error:
            if isinstance(error, SinkUnreachableError):
                self._pace.keep_quiet(error.retry_after_s)
            return error

    def _response(self, outcome: Outcome) -> DataCollectionResponse:
        if outcome is None:
            return DataCollectionResponse(handled=self.config.handled)
        return DataCollectionResponse(
            success=False, error_message=outcome.message, retryable=outcome.retryable
        )


def _outcomes(items: Sequence[Item], answer: Sequence[Outcome] | SinkError) -> Sequence[Outcome]:
    """An answer for each item. What was refused in company may be another event's fault."""
    if isinstance(answer, SinkError):
        return [Refusal(str(answer), answer.retryable or len(items) > 1)] * len(items)
    return answer


def _raise_if_busy(outcomes: Sequence[Outcome]) -> None:
    """A sink that takes nothing, and may take all of it another time, is away for now."""
    refusals = [outcome for outcome in outcomes if outcome is not None and outcome.retryable]
    if len(refusals) == len(outcomes):
        raise SinkUnreachableError(refusals[0].message)
