"""A filter for libraries that say the same again and again while something is away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Said:
    at: float
    left_out: int = 0


class Repeats(logging.Filter):
    """Lets each message of some loggers pass once in ``every_s`` seconds; the next says how many it left out.

    Messages are the same when their text is before anything is put into it.

    Args:
        names: These loggers and those below them; all others pass.
        every_s: Seconds.
        monotonic: Returns seconds.
    """

    def __init__(self, names: tuple[str, ...], every_s: float, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._names = names
        self._below = tuple(f"{name}." for name in names)
        self._every_s = every_s
        self._monotonic = monotonic
        self._said: dict[tuple[str, str], _Said] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        if record.name not in self._names and not record.name.startswith(self._below):
            return True
        key, now = (record.name, str(record.msg)), self._monotonic()
        said = self._said.get(key)
        if said is not None and now - said.at < self._every_s:
            said.left_out += 1
            return False
        self._said[key] = _Said(now)
        if said is not None and said.left_out:
            record.msg = f"{record.getMessage()} ({said.left_out} more of this kind in {now - said.at:.0f} s)"
            record.args = ()
        return True
