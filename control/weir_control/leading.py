"""Keeps a process's part in leadership up to date, and runs what only the leader runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from weir_control.store.leadership import Leadership

_log = structlog.get_logger("weir.control")

_ASK_EVERY_S: Final = 1.0
# Sooner than the database gives up a leader of whom it has heard nothing.
_ANSWER_WITHIN_S: Final = 5.0

Work = Callable[[], Coroutine[Any, Any, None]]


class Leader:
    """Asks every second whether this process leads.

    Args:
        leadership: This process's part in it.
        sleep: Waits between two questions; a test may take its place.
    """

    def __init__(
        self, leadership: Leadership, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.leadership = leadership
        self._sleep = sleep
        self._asked = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask. Returns at once."""
        self._task = asyncio.create_task(self._run(), name="leadership")

    async def stop(self) -> None:
        """Let another lead at once; what only the leader runs is cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.leadership.resign()
        await self._tell()

    async def while_leading(self, work: Work) -> None:
        """Run ``work`` whenever this process leads, and cancel it when it leads no more, until cancelled.

        Work that fails begins again.
        """
        while True:
            epoch = await self._until_not(None)
            jobs = {
                asyncio.create_task(work()),
                asyncio.create_task(self._until_not(epoch)),
            }
            try:
                await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for job in jobs:
                    job.cancel()
                outcomes = await asyncio.gather(*jobs, return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    _log.error("what the leader runs failed and begins again", error=repr(outcome))
            await self._sleep(_ASK_EVERY_S)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_ANSWER_WITHIN_S):
                    await self.leadership.lead()
            except (SQLAlchemyError, OSError) as error:
                _log.warning("the database does not say who leads", error=type(error).__name__)
                await self.leadership.resign()
            await self._tell()
            await self._sleep(_ASK_EVERY_S)

    async def _tell(self) -> None:
        async with self._asked:
            self._asked.notify_all()

    async def _until_not(self, epoch: int | None) -> int | None:
        async with self._asked:
            await self._asked.wait_for(lambda: self.leadership.epoch != epoch)
        return self.leadership.epoch
