"""Alternating rounds: A B C, A B C, ... so that a slow second on the machine hits all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import Cores, busy_seconds, cpu_seconds, resident_mib
from bench.programs import Load, LoadReport, run_load
from bench.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The same load on several targets. The first target is the one the others are compared with."""

    name: str
    title: str
    targets: Sequence[Target]
    body: Path
    expect_bytes: int
    connections: int
    streamed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many rounds, and how long each is."""

    rounds: int
    seconds: float
    warmup_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One target's turn.

    ``cpu_us`` is CPU time of the measured process per request, which other work on the machine disturbs
    least. The shares are of the whole turn, warm-up included: how busy the load's cores were, and how much of
    the measured core went to anything but the measured process.
    """

    load: LoadReport
    cpu_us: float
    rss_mib: float
    others_busy: float
    stolen: float


@dataclass(frozen=True, slots=True)
class Result:
    """All of one target's turns in one scenario."""

    target: Target
    samples: tuple[Sample, ...]

    def median(self, of: Callable[[Sample], float]) -> float:
        """The middle value over the rounds."""
        return statistics.median(map(of, self.samples))

    def ratios(self, reference: Result, of: Callable[[Sample], float]) -> list[float]:
        """Round by round, this target's value divided by the reference's of the same round."""
        return [of(mine) / of(theirs) for mine, theirs in zip(self.samples, reference.samples, strict=True)]


def run(
    scenario: Scenario, pace: Pace, client: Path, cores: Cores, progress: Callable[[str], None]
) -> list[Result]:
    """Measure every target once a round; blocks for rounds x targets x (seconds + warm-up).

    Raises:
        BenchError: A target answered wrongly.
    """
    samples: dict[str, list[Sample]] = {target.name: [] for target in scenario.targets}
    for number in range(pace.rounds):
        for target in scenario.targets:
            progress(f"{scenario.title}: round {number + 1} of {pace.rounds}, {target.name}")
            samples[target.name].append(_turn(scenario, target, pace, client, cores))
    return [Result(target, tuple(samples[target.name])) for target in scenario.targets]


def _turn(scenario: Scenario, target: Target, pace: Pace, client: Path, cores: Cores) -> Sample:
    load = Load(
        address=target.address,
        path=target.path,
        headers=target.headers,
        body=scenario.body,
        expect_bytes=scenario.expect_bytes,
        connections=scenario.connections,
        seconds=pace.seconds,
        warmup_s=pace.warmup_s,
    )
    measured = frozenset((cores.measured,))
    before = _Gauges(_cpu(target), busy_seconds(cores.others), busy_seconds(measured))
    report = run_load(client, load)
    after = _Gauges(_cpu(target), busy_seconds(cores.others), busy_seconds(measured))
    length = pace.seconds + pace.warmup_s
    return Sample(
        load=report,
        cpu_us=(after.process - before.process) * 1e6 / report.all_requests,
        rss_mib=resident_mib(target.pid) if target.pid else 0.0,
        others_busy=(after.others - before.others) / length / len(cores.others),
        stolen=max(0.0, (after.measured - before.measured) - (after.process - before.process)) / length,
    )


@dataclass(frozen=True, slots=True)
class _Gauges:
    process: float
    others: float
    measured: float


def _cpu(target: Target) -> float:
    return cpu_seconds(target.pid) if target.pid else 0.0


def slopes_us(results: Iterable[tuple[int, Result]], of: Callable[[Sample], float]) -> dict[int, float]:
    """What each hook adds, in microseconds: by number of hooks, the rise over none divided by the number.

    ``of`` gives one turn's microseconds per request. The rise is taken round by round, then its median.
    """
    by_count = dict(results)
    none = by_count[0]
    return {
        count: statistics.median(
            (of(with_hooks) - of(without)) / count
            for with_hooks, without in zip(result.samples, none.samples, strict=True)
        )
        for count, result in by_count.items()
        if count
    }
