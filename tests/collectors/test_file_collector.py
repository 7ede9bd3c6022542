"""The built-in file collector: what stands in its files, whatever happens to it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.collectors.file_collector_process import NoContext
from tests.fakes.gateway_events import analytics, budget_usage, plugin, proxy_log

from weir_collectors.builtin.day_files import DayFiles
from weir_collectors.builtin.files import FileCollector
from weir_core.clock import SystemClock
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_host.schema import config_errors
from weir_sdk import Analytics, BudgetUsage, ProxyLog

CONTEXT: Any = NoContext()
SCRIPT = Path(__file__).with_name("file_collector_process.py")
COMMAND = "python://weir_collectors.builtin.files:FileCollector"


def as_log(**changes: Any) -> ProxyLog:
    return msgspec.json.decode(msgspec.json.encode(proxy_log(**changes)), type=ProxyLog)


def lines(path: Path) -> list[str]:
    """The event ids in a file; every line must be whole."""
    text = path.read_text()
    assert text.endswith("\n") or not text
    return [msgspec.json.decode(line)["event_id"] for line in text.splitlines()]


def everything(directory: Path) -> list[str]:
    return [event_id for path in sorted(directory.glob("*.jsonl")) for event_id in lines(path)]


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[FileCollector]:
    collector = FileCollector()
    await collector.initialize(CONTEXT, {"directory": str(tmp_path / "out"), "max_bytes": 2000})
    yield collector
    await collector.shutdown(CONTEXT)


async def test_events_go_to_the_file_of_their_kind_and_of_their_own_utc_day(
    collector: FileCollector, tmp_path: Path
) -> None:
    usage = msgspec.json.decode(msgspec.json.encode(analytics(event_id="a")), type=Analytics)
    budget = msgspec.json.decode(msgspec.json.encode(budget_usage(event_id="b")), type=BudgetUsage)
    answers = await collector.handle_batch(
        CONTEXT,
        [
            as_log(event_id="one", timestamp="2026-01-31T23:59:59.999999Z"),
            as_log(event_id="two", timestamp="2026-02-01T00:30:00+01:00"),
            as_log(event_id="three", timestamp="2026-02-01T00:00:00Z"),
            usage,
            budget,
        ],
    )
    assert [answer.handled for answer in answers] == [True] * 5
    out = tmp_path / "out"
    assert lines(out / "proxy-log-2026-01-31.jsonl") == ["one", "two"]
    assert lines(out / "proxy-log-2026-02-01.jsonl") == ["three"]
    assert lines(out / f"analytics-{usage.timestamp[:10]}.jsonl") == ["a"]
    assert lines(out / f"budget-usage-{budget.timestamp[:10]}.jsonl") == ["b"]


async def test_a_full_file_is_left_for_the_next_and_no_line_is_split(
    collector: FileCollector, tmp_path: Path
) -> None:
    day = "2026-01-31T12:00:00Z"
    events = [as_log(event_id=f"e{number}", timestamp=day) for number in range(20)]
    events.insert(10, as_log(event_id="longer-than-a-file", timestamp=day, request_body="x" * 5000))
    await collector.handle_batch(CONTEXT, events[:5])
    await collector.handle_batch(CONTEXT, events[5:])
    paths = sorted((tmp_path / "out").glob("*.jsonl"))
    assert len(paths) > 3
    assert "proxy-log-2026-01-31.1.jsonl" in {path.name for path in paths}
    assert sorted(everything(tmp_path / "out")) == sorted(event.event_id for event in events)
    assert sum(path.stat().st_size > 2000 for path in paths) == 1


async def test_a_new_start_goes_on_in_the_last_file(tmp_path: Path) -> None:
    for number in range(12):
        collector = FileCollector()
        await collector.initialize(CONTEXT, {"directory": str(tmp_path), "max_bytes": 4096})
        event = as_log(event_id=f"e{number}", timestamp="2026-01-31T12:00:00Z")
        await collector.handle_batch(CONTEXT, [event])
        await collector.shutdown(CONTEXT)
    assert sorted(everything(tmp_path)) == sorted(f"e{number}" for number in range(12))
    assert len(list(tmp_path.glob("*.jsonl"))) < 12


@pytest.mark.parametrize("torn", [b'{"event_id":"to', b'{"event_id":"' + b"x" * 200_000, b""])
async def test_a_torn_last_line_is_cut_off_at_the_start(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "proxy-log-2026-01-31.jsonl"
    path.write_bytes(b'{"event_id":"whole"}\n' + torn)
    (tmp_path / "analytics-2026-01-31.jsonl").write_bytes(torn)
    assert bool(torn) == (len(DayFiles(tmp_path, 1000).repair()) == 2)
    assert lines(path) == ["whole"]
    assert lines(tmp_path / "analytics-2026-01-31.jsonl") == []


async def test_two_instances_on_one_directory_spoil_nothing(tmp_path: Path) -> None:
    both = [FileCollector(), FileCollector()]
    for collector in both:
        await collector.initialize(CONTEXT, {"directory": str(tmp_path), "max_bytes": 3000})
    for number in range(60):
        event = as_log(event_id=f"e{number}", timestamp="2026-01-31T12:00:00Z")
        await both[number % 2].handle_batch(CONTEXT, [event])
        DayFiles(tmp_path, 3000).repair()
    for collector in both:
        await collector.shutdown(CONTEXT)
    assert sorted(everything(tmp_path)) == sorted(f"e{number}" for number in range(60))


async def test_a_full_disk_is_a_failure_that_may_pass_and_leaves_no_half_line(
    collector: FileCollector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = "2026-01-31T12:00:00Z"
    await collector.handle_batch(CONTEXT, [as_log(event_id="before", timestamp=day)])
    write = os.write

    def full(fd: int, data: bytes) -> int:
        # Half of it still fits, as on a disk that fills up.
        if len(data) < 200:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        await collector.handle_batch(CONTEXT, [as_log(event_id="lost", timestamp=day)])
    assert getattr(caught.value, "retryable", True)
    monkeypatch.undo()
    await collector.handle_batch(CONTEXT, [as_log(event_id="after", timestamp=day)])
    assert everything(tmp_path / "out") == ["before", "after"]


@pytest.mark.crash
async def test_what_it_called_handled_is_in_the_files_after_a_sigkill(tmp_path: Path) -> None:
    handled: set[str] = set()
    for turn in range(3):
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(tmp_path), str(turn * 100_000)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert process.stdout is not None
        for _ in range(20 + 7 * turn):
            handled.update(process.stdout.readline().split())
        process.send_signal(signal.SIGKILL)
        handled.update(process.communicate()[0].split())
    DayFiles(tmp_path, 20_000).repair()
    found = everything(tmp_path)
    assert handled <= set(found)
    assert len(handled) >= 3 * 20 * 10
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({}, ""),
        ({"directory": "relative"}, "directory"),
        ({"directory": "/d", "sync": "sometimes"}, "sync"),
        ({"directory": "/d", "max_bytes": 10}, "max_bytes"),
        ({"directory": "/d", "sync_interval_seconds": 0}, "sync_interval_seconds"),
        ({"directory": "/d", "compress": True}, ""),
    ],
)
def test_a_config_that_cannot_be_kept_to_is_refused_by_its_path(config: dict[str, Any], path: str) -> None:
    errors = config_errors(config, FileCollector().get_config_schema())
    assert [where for where, _ in errors] == [path]


async def test_it_needs_no_entry_in_plugin_modules(tmp_path: Path, logger: Any) -> None:
    host = PluginHost(
        runtime="gateway",
        hook_types=frozenset({"data_collection"}),
        gateway_reads=lambda: None,
        plugin_modules=("acme",),
        edge_id="",
        edge_namespace="",
        logger=logger,
        clock=SystemClock(),
    )
    await host.apply(Snapshot(1, [plugin(command=COMMAND, config={"directory": str(tmp_path)})]), 10.0)
    instance = host.get(1)
    assert instance is not None
    assert (instance.state, instance.reason) == ("ready", "")
    (answer,) = await instance.batch([as_log(event_id="e")])
    assert answer.handled
    await host.close()
    assert everything(tmp_path) == ["e"]
