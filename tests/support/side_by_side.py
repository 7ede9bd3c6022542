"""How long calls take at one gateway beside another, so that whatever else the machine does hits both."""

from __future__ import annotations

import time
from statistics import median
from typing import NamedTuple

from tests.support.world import World

_BODY = b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}'
# Of fewer a percentile is one or two calls' luck.
_CALLS = 400


class Window(NamedTuple):
    """Seconds of one call each, at the gateway in question and at the one beside it."""

    asked: list[float]
    beside: list[float]

    @property
    def ratio(self) -> float:
        """The 99th percentile of one divided by that of the other."""
        return _p99(self.asked) / _p99(self.beside)

    @property
    def median_ratio(self) -> float:
        """The same of the medians: a wait in every call shows here, however uneven the machine is."""
        return median(self.asked) / median(self.beside)

    def __str__(self) -> str:
        asked, beside = (
            f"p50 {1000 * median(latencies):.2f} ms and p99 {1000 * _p99(latencies):.2f} ms"
            for latencies in self
        )
        return f"{asked}, beside it {beside}, {len(self.beside)} calls each"


async def side_by_side(
    asked: World, beside: World, answered: list[str], *, at_least_s: float = 0.0
) -> Window:
    """Ask both by turns, one call at a time; each must be answered.

    Args:
        asked: The gateway in question.
        beside: The one that it is compared with.
        answered: Gets the request ids of the first one's answers.
        at_least_s: Seconds to go on for when there have been enough calls before.
    """
    window = Window([], [])
    async with asked.wire() as one, beside.wire() as other:
        turns = (
            (one, asked.request(_BODY), window.asked),
            (other, beside.request(_BODY), window.beside),
        )
        end = time.monotonic() + at_least_s
        while time.monotonic() < end or len(window.beside) < _CALLS:
            for wire, request, latencies in turns:
                began = time.perf_counter()
                await wire.send(request)
                answer = await wire.answer()
                latencies.append(time.perf_counter() - began)
                assert answer.status == 200, answer
                if wire is one:
                    answered.append(answer.headers["x-request-id"])
            # The next comes first: neither is always the one that is asked after a pause.
            turns = turns[::-1]
    return window


def _p99(latencies: list[float]) -> float:
    return sorted(latencies)[int(len(latencies) * 0.99)]
