"""Many askers, one call: events that wait at the same time go to a collector as one batch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Batcher(Generic[Question, Answer]):
    """Gathers what is asked while a call is under way into the next call; one call at a time.

    Args:
        call: Answers a batch with one answer a question, in the same order. When it raises, every asker
            of that batch gets the error.
        largest: Questions in one call, at most.
    """

    def __init__(self, call: Callable[[list[Question]], Awaitable[Sequence[Answer]]], largest: int) -> None:
        self._call = call
        self._largest = largest
        self._waiting: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self._calling: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """Wait for the answer to one question; whatever the call raises is raised here.

        An asker that is cancelled leaves the call to the others.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._calling is None or self._calling.done():
            self._calling = asyncio.create_task(self._call_while_asked())
        return await future

    async def _call_while_asked(self) -> None:
        while self._waiting:
            size = min(self._largest, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(size)]
            await self._answer([(question, future) for question, future in batch if not future.done()])

    async def _answer(self, batch: Sequence[tuple[Question, asyncio.Future[Answer]]]) -> None:
        if not batch:
            return
        try:
            answers = await self._call([question for question, _ in batch])
            outcomes = list(zip(batch, answers, strict=True))
        except Exception as error:  # noqa: BLE001 - foreign code; each asker decides what its error means
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in outcomes:
            if not future.done():
                future.set_result(answer)
