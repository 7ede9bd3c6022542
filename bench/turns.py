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


class Comparison(NamedTuple):
    """The turns of the bare client and of ours, taken one after the other."""

    title: str
    bare: Sequence[Turn]
    ours: Sequence[Turn]

    def per_cpu_s(self) -> tuple[float, float]:
        """Events for each second of CPU time, the bare client's and ours: medians."""
        return (
            statistics.median(turn.events_per_cpu_s for turn in self.bare),
            statistics.median(turn.events_per_cpu_s for turn in self.ours),
        )

    def ratios(self) -> tuple[float, float]:
        """Ours to the bare client's, by CPU time and by the clock: medians over neighbouring turns."""
        pairs = list(zip(self.ours, self.bare, strict=True))
        return (
            statistics.median(mine.events_per_cpu_s / theirs.events_per_cpu_s for mine, theirs in pairs),
            statistics.median(mine.events_per_s / theirs.events_per_s for mine, theirs in pairs),
        )

    def figures(self) -> dict[str, float]:
        """The medians, for a file."""
        bare, ours = self.per_cpu_s()
        by_cpu, by_clock = self.ratios()
        return {
            "bare_per_cpu_s": bare,
            "ours_per_cpu_s": ours,
            "ratio_by_cpu": by_cpu,
            "ratio_by_clock": by_clock,
        }


def print_comparisons(console: Console, comparisons: Sequence[Comparison]) -> None:
    """Print a row for each."""
    table = Table(
        *("", "bare events/CPU s", "ours", "ratio by CPU", "ratio by the clock"),
        title="Events, on one core",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
    )
    for one in comparisons:
        bare, ours = one.per_cpu_s()
        by_cpu, by_clock = one.ratios()
        table.add_row(one.title, f"{bare:,.0f}", f"{ours:,.0f}", f"{by_cpu:.2f}", f"{by_clock:.2f}")
    console.print(table)
