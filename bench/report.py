"""The table on the terminal and the JSON file beside it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from bench.programs import LoadReport
from bench.rounds import Result, Sample, Scenario

_US_PER_MS: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of one turn and how it is shown."""

    title: str
    of: Callable[[Sample], float]
    form: str


REQUESTS: Final = Column("req/s", lambda sample: sample.load.requests_per_second, ",.0f")
EVENTS: Final = Column("events/s", lambda sample: sample.load.events_per_second, ",.0f")
_WHOLE: Final = (
    Column("p50 ms", lambda sample: sample.load.latency_us.p50 / _US_PER_MS, ".2f"),
    Column("p99 ms", lambda sample: sample.load.latency_us.p99 / _US_PER_MS, ".2f"),
    Column("CPU µs", lambda sample: sample.cpu_us, ",.0f"),
    Column("RSS MiB", lambda sample: sample.rss_mib, ".0f"),
)
_STREAMED: Final = (
    Column("1st p50", lambda sample: sample.load.first_byte_us.p50 / _US_PER_MS, ".2f"),
    Column("1st p99", lambda sample: sample.load.first_byte_us.p99 / _US_PER_MS, ".2f"),
    Column("CPU µs", lambda sample: sample.cpu_us * sample.load.requests / sample.load.events, ".1f"),
    Column("RSS MiB", lambda sample: sample.rss_mib, ".0f"),
)


def rate(scenario: Scenario) -> Column:
    """The figure that a scenario's ratio is taken of."""
    return EVENTS if scenario.streamed else REQUESTS


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )


def _figures(scenario: Scenario) -> tuple[Column, ...]:
    return _STREAMED if scenario.streamed else _WHOLE


def print_table(console: Console, scenario: Scenario, results: Sequence[Result]) -> None:
    """One scenario: medians over the rounds, and the ratio to the first target's same round."""
    headline = rate(scenario)
    columns = (headline, *_figures(scenario))
    table = _table(scenario.title)
    table.add_column("target", no_wrap=True)
    for title in ("ratio", "range", *(column.title for column in columns)):
        table.add_column(title, justify="right", no_wrap=True)
    for result in results:
        figures = [format(result.median(column.of), column.form) for column in columns]
        ratios = result.ratios(results[0], headline.of)
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        table.add_row(result.target.name, f"{statistics.median(ratios):.2f}", spread, *figures)
    console.print(table)


def print_hooks(console: Console, by_rate: Mapping[int, float], by_cpu: Mapping[int, float]) -> None:
    """What each in-process async hook adds."""
    table = _table("What each in-process async hook adds")
    for title in ("hooks on the LLM", "µs per hook, from req/s", "µs per hook, CPU time"):
        table.add_column(title, justify="right")
    for count, value in by_rate.items():
        table.add_row(str(count), f"{value:.1f}", f"{by_cpu[count]:.1f}")
    console.print(table)


def conditions(all_results: Sequence[Result]) -> dict[str, float]:
    """How undisturbed it was: medians of the shares of CPU time over all turns."""
    samples = [sample for result in all_results for sample in result.samples if result.target.pid]
    return {
        "load_cores_busy": statistics.median(sample.others_busy for sample in samples),
        "measured_core_stolen": statistics.median(sample.stolen for sample in samples),
    }


def print_conditions(console: Console, shares: Mapping[str, float]) -> None:
    """What a reader must know before believing the figures."""
    console.print(
        "Ratio: of req/s or events/s to the forwarder's in the same round; its range over the rounds. "
        "CPU: of the proxy process, per request, in streams per event. 1st: milliseconds to the first byte.\n"
        f"Load generator, upstream, and Weir's control and collectors share the other core(s): busy "
        f"{shares['load_cores_busy']:.0%} of the time. "
        f"Other work took {shares['measured_core_stolen']:.0%} of the measured core. "
        "Compare ratios, not absolute figures, between machines and runs.",
        style="dim",
    )


def write_json(
    path: Path, head: Mapping[str, Any], scenarios: Sequence[tuple[Scenario, list[Result]]]
) -> None:
    """Every round of every target, and the medians and ratios made of them."""
    document = {**head, "scenarios": [_scenario(scenario, results) for scenario, results in scenarios]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def _scenario(scenario: Scenario, results: Sequence[Result]) -> dict[str, Any]:
    return {
        "name": scenario.name,
        "title": scenario.title,
        "connections": scenario.connections,
        "streamed": scenario.streamed,
        "targets": [_target(scenario, result, results[0]) for result in results],
    }


def _target(scenario: Scenario, result: Result, reference: Result) -> dict[str, Any]:
    headline = rate(scenario)
    ratios = result.ratios(reference, headline.of)
    columns = (headline, *_figures(scenario))
    return {
        "name": result.target.name,
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "medians": {column.title: result.median(column.of) for column in columns},
        "rounds": [_sample(sample) for sample in result.samples],
    }


def _sample(sample: Sample) -> dict[str, Any]:
    load: LoadReport = sample.load
    return {**asdict(sample), "load": msgspec.structs.asdict(load)}
