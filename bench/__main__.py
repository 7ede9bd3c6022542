"""``make bench``, or ``python -m bench --quick``: see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from bench import event_path
from bench.errors import BenchError
from bench.gateway import gateway
from bench.gateway_setup import WeirTargets
from bench.machine import Cores, describe, divide_cores
from bench.programs import Programs, build
from bench.report import REQUESTS, conditions, print_conditions, print_hooks, print_table, write_json
from bench.rounds import Pace, Result, Scenario, run, slopes_us
from bench.targets import Target, Upstream, forwarder, upstream
from bench.turns import Comparison, print_comparisons

_HOOKS: Final = (0, 1, 3)
_BUSY: Final = 64
_FULL: Final = Pace(rounds=5, seconds=2.0, warmup_s=0.4)
_QUICK: Final = Pace(rounds=2, seconds=0.8, warmup_s=0.2)
_RESULTS: Final = Path(__file__).parent / "results"
_PACKAGES: Final = ("weir-gateway", "uvicorn", "uvloop", "httptools", "pyreqwest")
_ASK: Final = {
    "model": "gpt-4o-mini",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Hello! Please tell me in one sentence what you can do for me."},
    ],
    "max_tokens": 64,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the file; 1 when it could not be measured."""
    options = _parser().parse_args(arguments)
    console = Console()
    try:
        _bench(console, options)
    except BenchError as error:
        console.print("bench:", str(error), style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Weir beside a bare forwarder.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--connections", type=int, default=_BUSY, help="of the busy scenarios (%(default)s)")
    parser.add_argument("--rounds", type=int, help="turns of each target")
    parser.add_argument("--seconds", type=float, help="length of a turn")
    parser.add_argument(
        "--without-weir", action="store_true", help="only the forwarder and the harness itself"
    )
    parser.add_argument("--without-events", action="store_true", help="only what a call costs")
    return parser


def _bench(console: Console, options: argparse.Namespace) -> None:
    pace = _pace(options)
    cores = divide_cores()
    programs = build()
    # Everything started from here on is born on the other cores; what is measured is then moved.
    os.sched_setaffinity(0, cores.others)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
        up = stack.enter_context(upstream(programs.upstream))
        bare = stack.enter_context(forwarder(f"http://{up.address}", cores.measured))
        weir: WeirTargets | None = None
        if not options.without_weir:
            console.print("[dim]starting weir serve[/]")
            weir = stack.enter_context(gateway(f"http://{up.address}", cores.measured, work, _HOOKS))
        scenarios = list(_scenarios(work, up, bare, weir, options.connections))
        measured = _measure(console, scenarios, pace, programs, cores)
    os.sched_setaffinity(0, {cores.measured, *cores.others})
    events = {} if options.without_events or options.without_weir else _events(console, options)
    _report(console, measured, weir, pace, events)


def _events(console: Console, options: argparse.Namespace) -> dict[str, Comparison]:
    if options.quick:
        return event_path.measure(console, event_path.REQUESTS // 3, 1)
    return event_path.measure(console, event_path.REQUESTS, event_path.ROUNDS)


def _pace(options: argparse.Namespace) -> Pace:
    base = _QUICK if options.quick else _FULL
    return Pace(
        rounds=options.rounds or base.rounds,
        seconds=options.seconds or base.seconds,
        warmup_s=base.warmup_s,
    )


def _scenarios(
    work: Path, up: Upstream, bare: Target, weir: WeirTargets | None, connections: int
) -> Iterator[Scenario]:
    whole, streamed = work / "ask.json", work / "ask-stream.json"
    whole.write_bytes(_encode(_ASK))
    streamed.write_bytes(_encode(_ASK | {"stream": True, "stream_options": {"include_usage": True}}))
    hooked = list(weir.by_hooks.values()) if weir else []
    streaming = [weir.by_hooks[0], weir.chunk_hook] if weir else []
    for name, title, targets, count in (
        (
            "busy",
            f"Chat completion, {connections} connections",
            [bare, *hooked, up.ceiling],
            connections,
        ),
        ("single", "Chat completion, 1 connection", [bare, *hooked[:1]], 1),
    ):
        yield Scenario(
            name=name, title=title, targets=targets, body=whole, expect_bytes=up.body_bytes, connections=count
        )
    for name, title, count in (
        ("stream-busy", f"Stream, {connections} connections", connections),
        ("stream-single", "Stream, 1 connection", 1),
    ):
        yield Scenario(
            name=name,
            title=title,
            targets=[bare, *streaming],
            body=streamed,
            expect_bytes=up.stream_bytes,
            connections=count,
            streamed=True,
        )


def _measure(
    console: Console, scenarios: Sequence[Scenario], pace: Pace, programs: Programs, cores: Cores
) -> list[tuple[Scenario, list[Result]]]:
    measured = []
    for scenario in scenarios:
        with console.status(scenario.title) as status:
            results = run(scenario, pace, programs.client, cores, status.update)
        print_table(console, scenario, results)
        measured.append((scenario, results))
    return measured


def _report(
    console: Console,
    measured: list[tuple[Scenario, list[Result]]],
    weir: WeirTargets | None,
    pace: Pace,
    events: dict[str, Comparison],
) -> None:
    shares = conditions([result for _, results in measured for result in results])
    head: dict[str, Any] = {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": describe(),
        "packages": {name: version(name) for name in _PACKAGES},
        "rounds": pace.rounds,
        "seconds": pace.seconds,
        "conditions": shares,
    }
    if weir:
        by_name = {result.target.name: result for result in measured[0][1]}
        counted = [(count, by_name[target.name]) for count, target in weir.by_hooks.items()]
        by_rate = slopes_us(counted, lambda sample: 1e6 / REQUESTS.of(sample))
        by_cpu = slopes_us(counted, lambda sample: sample.cpu_us)
        print_hooks(console, by_rate, by_cpu)
        head["us_per_hook"] = {
            str(count): {"rate": by_rate[count], "cpu": by_cpu[count]} for count in by_rate
        }
    if weir and events:
        print_comparisons(console, list(events.values()))
        calls_per_s = statistics.median(
            REQUESTS.of(sample) for sample in by_name[weir.by_hooks[0].name].samples
        )
        workers = event_path.workers_needed(events, calls_per_s)
        for step, count in workers.items():
            console.print(f"A proxy core that is never idle keeps {count:.1f} workers busy: {step}.")
        head["events"] = {step: one.figures() for step, one in events.items()}
        head["workers_per_proxy_core"] = workers
    print_conditions(console, shares)
    path = _RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    write_json(path, head, measured)
    console.print(f"[dim]{path}[/]", highlight=False)


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty"]
    result = subprocess.run(
        command,
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return result.stdout.strip() or None


if __name__ == "__main__":
    sys.exit(main())
