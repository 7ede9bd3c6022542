"""Two ways of doing the same work, in turns: how fast each is, and what ratio that makes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table


class Turn(NamedTuple):
    """One way of sending everything: events per second of time, and of this process's CPU time."""

    events_per_s: float
    events_per_cpu_s: float


async def timed(events: int, sending: Awaitable[None]) -> Turn:
    """Wait for it, and say how fast it was."""
    began, began_cpu = time.perf_counter(), time.process_time()
    await sending
    return Turn(events / (time.perf_counter() - began), events / (time.process_time() - began_cpu))


def print_turns(console: Console, title: str, bare: Sequence[Turn], name: str, ours: Sequence[Turn]) -> None:
    """Print the medians, and the median of the ratios of neighbouring turns."""
    table = Table("", "events/s", "events/s of CPU", title=f"{title}, medians", box=box.SIMPLE_HEAD)
    for who, turns in (("bare client", bare), (name, ours)):
        whole = statistics.median(turn.events_per_s for turn in turns)
        of_cpu = statistics.median(turn.events_per_cpu_s for turn in turns)
        table.add_row(who, f"{whole:,.0f}", f"{of_cpu:,.0f}")
    pairs = list(zip(ours, bare, strict=True))
    table.add_row(
        "ratio",
        f"{statistics.median(mine.events_per_s / theirs.events_per_s for mine, theirs in pairs):.2f}",
        f"{statistics.median(mine.events_per_cpu_s / theirs.events_per_cpu_s for mine, theirs in pairs):.2f}",
    )
    console.print(table)
