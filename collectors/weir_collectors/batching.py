"""Many askers, one call: what waits at the same time goes to a collector as one batch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

Hearer: TypeAlias = Callable[[int, "Sequence[Answer | Exception]"], None]
"""Told the answers to some questions in a row, and the position of the first among those that were asked."""


class _Asker(Generic[Question, Answer]):
    """Somebody's questions, and how many of them went into a call and have been answered."""

    def __init__(self, questions: Sequence[Question], hear: Hearer[Answer]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._questions = questions
        self._hear = hear
        self._taken = 0
        self._heard = 0

    @property
    def is_asked(self) -> bool:
        """Whether nothing is left to put into a call."""
        return self._taken == len(self._questions) or self.done.done()

    def take(self, most: int) -> Sequence[Question]:
        first, self._taken = self._taken, min(self._taken + most, len(self._questions))
        return self._questions[first : self._taken]

    def hear(self, answers: Sequence[Answer | Exception]) -> None:
        if self.done.done():
            return
        first, self._heard = self._heard, self._heard + len(answers)
        self._hear(first, answers)
        if self._heard == len(self._questions):
            self.done.set_result(None)


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
        self._waiting: deque[_Asker[Question, Answer]] = deque()
        self._calling: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """Wait for the answer to one question; whatever the call raises is raised here.

        An asker that is cancelled leaves the call to the others.
        """
        heard: list[Answer | Exception] = []
        await self.ask_all([question], lambda _first, answers: heard.extend(answers))
        (answer,) = heard
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ask_all(self, questions: Sequence[Question], hear: Hearer[Answer]) -> None:
        """Wait for the answers to some questions; each is told as soon as its call ends, in their order.

        What a call raises is the answer to all of its questions. Costs one future, however many they are.
        """
        if not questions:
            return
        asker: _Asker[Question, Answer] = _Asker(questions, hear)
        self._waiting.append(asker)
        if self._calling is None or self._calling.done():
            self._calling = asyncio.create_task(self._call_while_asked())
        await asker.done

    async def _call_while_asked(self) -> None:
        while self._waiting:
            await self._answer(self._next_batch())

    def _next_batch(self) -> list[tuple[_Asker[Question, Answer], Sequence[Question]]]:
        batch = []
        room = self._largest
        while self._waiting and room:
            asker = self._waiting[0]
            if not asker.is_asked:
                part = asker.take(room)
                room -= len(part)
                batch.append((asker, part))
            if asker.is_asked:
                self._waiting.popleft()
        return batch

    async def _answer(self, batch: Sequence[tuple[_Asker[Question, Answer], Sequence[Question]]]) -> None:
        if not batch:
            return
        questions = [question for _, part in batch for question in part]
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._answers(questions)
        except Exception as error:  # noqa: BLE001 - foreign code; each asker decides what its error means
            answers = [error] * len(questions)
        first = 0
        for asker, part in batch:
            asker.hear(answers[first : first + len(part)])
            first += len(part)

    async def _answers(self, questions: list[Question]) -> Sequence[Answer]:
        answers = await self._call(questions)
        if len(answers) != len(questions):
            raise ValueError(f"a call about {len(questions)} events gave {len(answers)} answers")
        return answers
