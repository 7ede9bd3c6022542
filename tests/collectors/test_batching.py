"""Many askers, one call."""

from __future__ import annotations

import asyncio

import pytest

from weir_collectors.batching import Batcher


class Doubling:
    """Answers a batch with its doubles; remembers the batches, and can be held back."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.held = asyncio.Event()
        self.held.set()

    async def __call__(self, numbers: list[int]) -> list[int]:
        self.batches.append(numbers)
        await self.held.wait()
        return [2 * number for number in numbers]


async def test_what_is_asked_together_is_answered_by_one_call() -> None:
    call = Doubling()
    batcher = Batcher(call, largest=10)
    assert await asyncio.gather(*(batcher.ask(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert call.batches == [[0, 1, 2, 3, 4]]


async def test_a_batch_has_a_largest_size() -> None:
    call = Doubling()
    batcher = Batcher(call, largest=2)
    await asyncio.gather(*(batcher.ask(number) for number in range(5)))
    assert call.batches == [[0, 1], [2, 3], [4]]


async def test_what_is_asked_during_a_call_goes_into_the_next_one() -> None:
    call = Doubling()
    call.held.clear()
    batcher = Batcher(call, largest=10)
    first = asyncio.create_task(batcher.ask(1))
    while not call.batches:
        await asyncio.sleep(0)
    others = [asyncio.create_task(batcher.ask(number)) for number in (2, 3)]
    await asyncio.sleep(0)
    call.held.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6]
    assert call.batches == [[1], [2, 3]]


async def test_a_failed_call_fails_its_askers_and_no_others() -> None:
    async def call(numbers: list[int]) -> list[int]:
        if 1 in numbers:
            raise ConnectionError("away")
        return numbers

    batcher = Batcher(call, largest=2)
    answers = await asyncio.gather(*(batcher.ask(number) for number in range(4)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError, ConnectionError, int, int]


async def test_too_few_answers_are_an_error_for_every_asker() -> None:
    async def call(numbers: list[int]) -> list[int]:
        return numbers[1:]

    batcher = Batcher(call, largest=10)
    answers = await asyncio.gather(batcher.ask(1), batcher.ask(2), return_exceptions=True)
    assert all(isinstance(answer, ValueError) for answer in answers)


async def test_an_asker_that_gives_up_leaves_the_answer_to_the_others() -> None:
    call = Doubling()
    call.held.clear()
    batcher = Batcher(call, largest=10)
    hasty, patient = (asyncio.create_task(batcher.ask(number)) for number in (1, 2))
    while not call.batches:
        await asyncio.sleep(0)
    hasty.cancel()
    call.held.set()
    assert await patient == 4
    with pytest.raises(asyncio.CancelledError):
        await hasty
    assert await batcher.ask(3) == 6


async def test_an_asker_that_gave_up_before_the_call_is_not_asked_about() -> None:
    call = Doubling()
    batcher = Batcher(call, largest=10)
    hasty = asyncio.create_task(batcher.ask(1))
    await asyncio.sleep(0)
    hasty.cancel()
    assert await batcher.ask(2) == 4
    assert call.batches == [[2]]


async def test_many_questions_of_one_asker_are_answered_as_their_calls_end() -> None:
    call = Doubling()
    batcher = Batcher(call, largest=2)
    heard: list[tuple[int, list[int | Exception]]] = []
    await batcher.ask_all([1, 2, 3], lambda first, answers: heard.append((first, list(answers))))
    assert call.batches == [[1, 2], [3]]
    assert heard == [(0, [2, 4]), (2, [6])]


async def test_many_questions_share_their_calls_with_those_of_others() -> None:
    call = Doubling()
    batcher = Batcher(call, largest=3)
    heard: list[int | Exception] = []
    many = batcher.ask_all([1, 2], lambda _first, answers: heard.extend(answers))
    _, alone, other = await asyncio.gather(many, batcher.ask(3), batcher.ask(4))
    assert (heard, alone, other) == ([2, 4], 6, 8)
    assert call.batches == [[1, 2, 3], [4]]


async def test_an_error_is_told_for_each_question_of_its_call_and_no_other() -> None:
    async def call(numbers: list[int]) -> list[int]:
        if 1 in numbers:
            raise ConnectionError("away")
        return numbers

    heard: list[int | Exception] = []
    await Batcher(call, largest=2).ask_all(range(4), lambda _first, answers: heard.extend(answers))
    assert [type(answer) for answer in heard] == [ConnectionError, ConnectionError, int, int]


async def test_no_questions_make_no_call() -> None:
    call = Doubling()
    await Batcher(call, largest=2).ask_all([], lambda _first, _answers: None)
    assert call.batches == []
