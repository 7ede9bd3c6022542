"""``python -m bench.event_path``: what becomes of events after the answer, each step beside a bare client."""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog
from rich.console import Console
from tests.support.servers.errors import ServerUnavailableError

from bench import appending, elasticsearch, records, relay
from bench.turns import Comparison, print_comparisons

_STEPS: Final = {
    "spool": appending.measure,
    "kafka": relay.measure,
    "elasticsearch": elasticsearch.measure,
    "postgres": records.measure_postgres,
    "sqlite": records.measure_sqlite,
}
_WORKERS: Final = ("elasticsearch", "postgres", "sqlite")
_EVENTS_PER_CALL: Final = 3
REQUESTS: Final = 3000
ROUNDS: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.event_path", description=__doc__)
    parser.add_argument("steps", nargs="*", metavar="step", help=f"some of {', '.join(_STEPS)}; else all")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="calls of three events (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each (%(default)s)")
    options = parser.parse_args(arguments)
    unknown = set(options.steps) - set(_STEPS)
    if unknown:
        parser.error(f"there is no step {', '.join(sorted(unknown))}")
    console = Console()
    measured = measure(console, options.requests, options.rounds, options.steps or list(_STEPS))
    print_comparisons(console, list(measured.values()))
    return 0


def measure(
    console: Console, requests: int, rounds: int, steps: Sequence[str] = tuple(_STEPS)
) -> dict[str, Comparison]:
    """Take each step in turns with its bare client; what has no server here is left out, with a word."""
    _be_quiet()
    return dict(_measured(console, requests, rounds, steps))


def workers_needed(measured: Mapping[str, Comparison], calls_per_s: float) -> dict[str, float]:
    """By step, how many cores of workers keep up with so many calls, each of which leaves three events."""
    return {
        step: _EVENTS_PER_CALL * calls_per_s / one.per_cpu_s()[1]
        for step, one in measured.items()
        if step in _WORKERS
    }


def _measured(
    console: Console, requests: int, rounds: int, steps: Sequence[str]
) -> Iterator[tuple[str, Comparison]]:
    for step in steps:
        with console.status(step), tempfile.TemporaryDirectory(prefix="weir-bench-") as work:
            try:
                yield step, _STEPS[step](Path(work), requests, rounds)
            except ServerUnavailableError as error:
                console.print(f"{step}: not measured: {error}", style="yellow", markup=False)


def _be_quiet() -> None:
    logging.basicConfig(level=logging.ERROR)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


if __name__ == "__main__":
    raise SystemExit(main())
