"""The lanes: each delivers its payloads one after the other, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from weir_control.studio.delivering import Delivery, Verdict
from weir_control.studio.inbox import Inbox, Lane, Waiting
from weir_core.clock import Clock
from weir_core.errors import WeirError
from weir_streams.reports import Logger

RETRY_AFTER_S: Final = (2.0, 5.0, 10.0, 25.0, 60.0, 100.0, 160.0, 240.0)
"""The eight retries of a payload whose delivery fails: about ten minutes in all."""

GIVEN_UP_AFTER_S: Final = 24 * 3600.0
"""A payload that nobody could be asked about for so long since it was sent is a dead letter."""

_UNDELIVERED: Final = "undelivered for 24 hours"
_US: Final = 1_000_000
_SETTLING_S: Final = 60.0
_AT_A_TIME: Final = 16
_LOOK_AGAIN_S: Final = 1.0
_LANES_AT_ONCE: Final = 64

Sleep = Callable[[float], Awaitable[None]]


class Results(Protocol):
    """Where the results go."""

    async def write(self, waiting: Waiting, verdict: Verdict, *, tries: int, dead_letter: bool) -> None:
        """Write a result durably.

        Raises:
            WeirError: It is not written.
        """
        ...


@dataclass(slots=True)
class DispatchStatus:
    """What the lanes have done since the process started. Counts of payloads."""

    handled: int = 0
    failed_tries: int = 0
    dead_letters: int = 0
    lanes: int = 0
    last_error: str = ""


class Dispatcher:
    """Runs a lane for each plugin and edge that has something waiting.

    Args:
        inbox: What waits.
        delivery: Tries a payload.
        results: Told what became of each.
        clock: For the times of tries and the age of payloads.
        logger: Told of tries in vain and dead letters.
        sleep: Waits between tries.
    """

    def __init__(
        self,
        inbox: Inbox,
        delivery: Delivery,
        results: Results,
        *,
        clock: Clock,
        logger: Logger,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.status = DispatchStatus()
        self._inbox = inbox
        self._delivery = delivery
        self._results = results
        self._clock = clock
        self._logger = logger
        self._sleep = sleep
        self._lanes: dict[Lane, asyncio.Task[None]] = {}
        self._again: set[Lane] = set()
        self._began_at = clock.monotonic()
        self._closed = False
        self._busy = asyncio.Semaphore(_LANES_AT_ONCE)

    def wake(self, lanes: Collection[Lane]) -> None:
        """Say that something waits in these lanes. Does not block."""
        for lane in lanes:
            if lane in self._lanes:
                self._again.add(lane)
                continue
            task = self._lanes[lane] = asyncio.create_task(self._run(lane), name=f"edge payloads {lane}")
            task.add_done_callback(partial(self._ended, lane))
        self.status.lanes = len(self._lanes)

    async def run(self) -> None:
        """Wake what waits in the database, now and then, until cancelled: redrives come from elsewhere."""
        while True:
            try:
                self.wake(await self._inbox.lanes())
            except WeirError as error:
                self._note(error)
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def close(self) -> None:
        """Stop the lanes; what was under way is delivered again after the next start."""
        self._closed = True
        lanes = list(self._lanes.values())
        for task in lanes:
            task.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)

    def _ended(self, lane: Lane, _: asyncio.Task[None]) -> None:
        del self._lanes[lane]
        self.status.lanes = len(self._lanes)
        if lane in self._again and not self._closed:
            self._again.discard(lane)
            self.wake((lane,))

    async def _run(self, lane: Lane) -> None:
        """Deliver until the lane is empty."""
        declined: dict[str, set[int]] = {}
        pause_s = 0.0
        while True:
            try:
                self._again.discard(lane)
                waiting = await self._inbox.next_of(lane, 1 if pause_s else _AT_A_TIME)
                if not waiting:
                    return
                pause_s = await self._deliver(waiting, declined)
            except WeirError as error:
                self._note(error)
                pause_s = _LOOK_AGAIN_S
            if pause_s > 0:
                await self._sleep(pause_s)

    async def _deliver(self, batch: Sequence[Waiting], declined: dict[str, set[int]]) -> float:
        """Deliver some payloads up to the first that has to wait; return the seconds until it may go on."""
        done: list[int] = []
        try:
            for waiting in batch:
                pause_s = (waiting.next_try_at_us - self._clock.wall_us()) / _US
                if pause_s > 0:
                    return pause_s
                seen = declined.setdefault(waiting.payload.event_id, set())
                async with self._busy:
                    verdict = await self._delivery.attempt(waiting, seen)
                if verdict.kind != "handled":
                    return await self._not_handled(waiting, verdict)
                await self._results.write(waiting, verdict, tries=waiting.tries + 1, dead_letter=False)
                declined.pop(waiting.payload.event_id, None)
                done.append(waiting.row_id)
                self.status.handled += 1
            return 0.0
        finally:
            await self._inbox.finish(done)

    async def _not_handled(self, waiting: Waiting, verdict: Verdict) -> float:
        tries = waiting.tries + (verdict.kind != "nobody")
        if verdict.kind == "declined" or self._is_given_up(waiting, verdict, tries):
            await self._bury(waiting, verdict, tries)
            return 0.0
        if verdict.kind == "nobody":
            self.status.last_error = verdict.error
            await self._inbox.explain(waiting, verdict.error, verdict.unquoted)
            return _LOOK_AGAIN_S
        self.status.failed_tries += 1
        self.status.last_error = verdict.error
        pause_s = RETRY_AFTER_S[tries - 1]
        next_try_at_us = self._clock.wall_us() + round(pause_s * _US)
        await self._inbox.try_later(waiting, next_try_at_us, verdict.error, verdict.unquoted)
        self._logger.warning(
            "an edge payload was not taken",
            payload=waiting.payload.event_id,
            tries=tries,
            again_in_s=pause_s,
            reason=verdict.error,
        )
        return pause_s

    def _is_given_up(self, waiting: Waiting, verdict: Verdict, tries: int) -> bool:
        if verdict.kind == "failed" and tries > len(RETRY_AFTER_S):
            return True
        now_us = self._clock.wall_us()
        if now_us - waiting.sent_at_us < GIVEN_UP_AFTER_S * _US:
            return False
        # Control itself may have been away for a day, and its plugins may only be starting.
        settled = self._clock.monotonic() - self._began_at >= _SETTLING_S
        return settled and now_us - waiting.received_at_us >= _SETTLING_S * _US

    async def _bury(self, waiting: Waiting, verdict: Verdict, tries: int) -> None:
        reason, unquoted = verdict.error, verdict.unquoted
        if verdict.kind == "nobody":
            reason = f"{_UNDELIVERED}: {reason}"
            unquoted = unquoted and f"{_UNDELIVERED}: {unquoted}"
        buried = Verdict(verdict.kind, reason)
        # The result first: after a crash in between it is written again, while nobody would write it later.
        await self._results.write(waiting, buried, tries=tries, dead_letter=True)
        await self._inbox.bury(waiting, tries, reason, unquoted)
        self.status.dead_letters += 1
        self.status.last_error = reason
        self._logger.error(
            "an edge payload became a dead letter", payload=waiting.payload.event_id, reason=reason
        )

    def _note(self, error: WeirError) -> None:
        self.status.last_error = str(error)
        self._logger.warning("edge payloads cannot be delivered", reason=str(error))
