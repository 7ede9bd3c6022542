"""Roles that run alone end when they are asked to, whatever they hang in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

import pytest
from tests.streams.support import append, open_spool
from tests.support.environment import weir_environment

from weir_cli.ending import relay_deadline_s, stop_deadline_s
from weir_core.kafka_options import KafkaOptions
from weir_core.secrets import KeyRing
from weir_core.settings import Settings

SCRIPT = Path(__file__).with_name("lone_role.py")
WEIR = Path(sys.executable).with_name("weir")
NEVER = "3600"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(*command: object, **settings: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=weir_environment(**settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def until(stream: IO[str] | None, said: str) -> str:
    """Read on to the line that has these words."""
    assert stream is not None
    return next(line for line in stream if said in line)


def told(process: subprocess.Popen[str]) -> dict[str, object]:
    last: dict[str, object] = json.loads(until(process.stderr, "ended before all was finished"))
    return last


@pytest.mark.parametrize(
    ("hangs_in", "seen"),
    [("a call", "main"), ("the loop", "lone_role.py"), ("a thread", "thread asyncio_0")],
)
def test_a_role_that_hangs_is_ended_at_its_deadline_and_says_what_was_left(
    start: Start, hangs_in: str, seen: str
) -> None:
    role = start(sys.executable, SCRIPT, hangs_in, 0.3)
    until(role.stdout, "running")
    role.send_signal(signal.SIGTERM)
    last = told(role)
    assert role.wait(60) == 1
    assert last["reason"] == "it did not end within 0.3 s"
    assert last["unfinished"] == ["7 events are not committed"]
    assert seen in f"{last['waiting_for']} {last['main_thread_at']}"


# The same signal twice is one, until the first has been taken.
@pytest.mark.parametrize(
    ("hangs_in", "second"),
    [("a call", signal.SIGTERM), ("a call", signal.SIGINT), ("the loop", signal.SIGINT)],
)
def test_a_role_that_is_asked_twice_ends_at_once(start: Start, hangs_in: str, second: signal.Signals) -> None:
    role = start(sys.executable, SCRIPT, hangs_in, NEVER)
    until(role.stdout, "running")
    role.send_signal(signal.SIGTERM)
    if hangs_in == "a call":
        until(role.stdout, "stopping")
    role.send_signal(second)
    assert told(role)["reason"] == "it was asked a second time"
    assert role.wait(60) == 1


def test_a_role_that_ends_in_time_ends_well(start: Start) -> None:
    role = start(sys.executable, SCRIPT, "nothing", NEVER)
    until(role.stdout, "running")
    role.send_signal(signal.SIGINT)
    assert role.wait(60) == 0


def test_a_relay_has_the_time_to_deliver_what_is_left() -> None:
    settings = Settings(shutdown_grace=1, kafka=KafkaOptions(relay_drain_seconds=60))
    assert (stop_deadline_s(settings), relay_deadline_s(settings)) == (6, 65)


def test_a_relay_that_waits_for_kafka_ends_when_it_is_asked_twice(start: Start, tmp_path: Path) -> None:
    with closing(open_spool(tmp_path)) as spool:
        append(spool, 1)
    role = start(
        *(WEIR, "relay", "--data-dir", tmp_path),
        kafka_bootstrap_servers="127.0.0.1:1",
        kafka_relay_drain_seconds=NEVER,
        log_format="json",
    )
    until(role.stderr, "relay goes back")
    for number in (signal.SIGTERM, signal.SIGINT):
        role.send_signal(number)
    assert told(role)["reason"] == "it was asked a second time"
    assert role.wait(60) == 1


@pytest.mark.parametrize(
    ("role", "waits"), [("streams", "kafka is not there"), ("collect", "accounting failed")]
)
def test_a_role_that_waits_for_kafka_or_the_database_stops_in_order(
    start: Start, tmp_path: Path, role: str, waits: str
) -> None:
    process = start(
        *(WEIR, role, "--data-dir", tmp_path),
        kafka_bootstrap_servers="127.0.0.1:1",
        database_url="postgresql://weir@127.0.0.1:1/weir",
        encryption_keys=KeyRing.generate_key(),
    )
    until(process.stderr, waits)
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in rest) == (0, False), rest
