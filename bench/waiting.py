"""Waiting for another process to come to a state that only polling can see."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from bench.errors import BenchError

_POLL_S: Final = 0.05


def until(condition: Callable[[], bool], timeout_s: float, failure: str) -> None:
    """Block until the condition holds.

    Raises:
        BenchError: It did not within the time; the message is ``failure``.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"{failure} within {timeout_s:g} s")
        time.sleep(_POLL_S)
