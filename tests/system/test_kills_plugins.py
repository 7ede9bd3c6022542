"""Kills with plugins in processes of their own: the books stay right, plugins come back, nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.books import all_records, assert_streams_were_torn, check_the_books, under_load
from tests.support.gateway import eventually
from tests.support.processes import held_by, processes_of
from tests.support.world import World, open_world

from weir_cli.mock_upstream.process import running

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

PROGRAM = """
import os
from weir_sdk import BasePlugin, serve


class Watching(BasePlugin):
    async def initialize(self, ctx, config):
        self.file = os.open(config["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def handle_post_auth(self, ctx, request):
        request.headers["x-watched"] = str(os.getpid())

    async def on_before_write(self, ctx, response):
        if response.body != b"[DONE]":
            response.json()["watched"] = True

    async def _note(self, ctx, event):
        os.write(self.file, f"{event.event_id}\\n".encode())

    handle_proxy_log = handle_analytics = handle_budget_usage = _note


serve(Watching)
"""


@pytest.fixture
def run_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the gateway's processes put their sockets; its path is short enough for that."""
    with tempfile.TemporaryDirectory(prefix="w", dir="/tmp") as directory:
        monkeypatch.setenv("TMPDIR", directory)
        yield Path(directory)


def sockets(run_dir: Path) -> list[str]:
    return [path.name for path in run_dir.rglob("*") if path.is_socket() or "weir-plugin" in path.name]


class Watcher:
    """The program as a plugin that every call passes, and that gets all events."""

    def __init__(self, world: World, directory: Path) -> None:
        self.script = directory / "watching.py"
        self.notes = directory / "notes"
        self.ids: list[int] = []
        self._world = world

    async def install(self, count: int = 1) -> None:
        """Create and attach it so often; a failure of its own is passed over."""
        self.script.write_text(PROGRAM)
        for number in range(count):
            created = await self._world.gateway.create(
                "plugins",
                name=f"watching {number}",
                command=f"file://{self.script}",
                config={"file": str(self.notes)},
            )
            self.ids.append(created["id"])
        attachments = [{"plugin_id": one, "timeout_ms": 20_000, "on_error": "fail_open"} for one in self.ids]
        url = f"llms/{self._world.openai_id}/plugins"
        await self._world.gateway.write("PUT", url, plugins=attachments)
        await self.run()

    async def run(self) -> None:
        """Wait until all of them run as they were last changed."""
        await asyncio.gather(*map(self._world.gateway.hosted, self.ids))

    def pids(self) -> list[int]:
        return sorted(processes_of(self.script))

    async def are(self, count: int) -> None:
        """Wait until it has so many processes."""

        async def so_many() -> bool:
            return len(self.pids()) == count

        await eventually(so_many, f"{count} processes of the plugin", within_s=90)

    async def restart(self) -> None:
        """Kill all its processes, and wait until others have taken their places."""
        killed = self.pids()
        for pid in killed:
            kill(pid)

        async def replaced() -> bool:
            return len(self.pids()) == len(killed) and set(killed).isdisjoint(self.pids())

        await eventually(replaced, "every process is replaced", within_s=90)
        await self.run()

    async def serves(self) -> None:
        """Wait until a call has passed a process that is alive."""

        async def watched() -> bool:
            answer = await self._world.client.post(
                "/llm/call/gpt/v1/chat/completions",
                json={"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]},
            )
            return answer.status_code == 200 and answer.json().get("watched") is True

        await eventually(watched, "the plugin serves again", within_s=90)


async def sockets_are(run_dir: Path, count: int) -> None:
    """Wait until whoever clears away behind the killed has done so."""

    async def so_many() -> bool:
        return len(sockets(run_dir)) == count

    await eventually(so_many, f"{count} sockets and directories are in {run_dir}", within_s=90)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def test_whatever_is_killed_the_books_are_right_and_the_plugin_comes_back(
    tmp_path: Path, run_dir: Path
) -> None:
    moments = random.Random(1889)
    async with under_load(tmp_path) as (world, load):
        watcher = Watcher(world, tmp_path)
        await watcher.install()
        for turn in range(16):
            await asyncio.sleep(moments.uniform(0.1, 0.8))  # the random moment is the test
            if turn % 5 == 4:
                await world.gateway.kill_everything()
                await watcher.are(0)
                await sockets_are(run_dir, 0)
                await world.gateway.start()
            else:
                kill(moments.choice([*world.gateway.children(), *watcher.pids(), *watcher.pids()]))
        await watcher.serves()
        await load.stop()
        records = await all_records(world, load)
        check_the_books(records, load, world.upstream)
        assert_streams_were_torn(records, load)
        await watcher.are(3)  # in two workers and with the collectors
        assert set(watcher.notes.read_text().split()) & {log["event_id"] for log in records["proxy-logs"]}
        assert await world.gateway.stop() == 0
        assert watcher.pids() == []
        assert sockets(run_dir) == []


async def test_thirty_restarts_leave_nothing_behind(tmp_path: Path, run_dir: Path) -> None:
    at_once, turns = 5, 3
    with running(tmp_path / "calls.jsonl") as upstream:
        async with open_world(tmp_path / "data", upstream) as world:
            watcher = Watcher(world, tmp_path)
            await watcher.install(at_once)
            await watcher.are(2 * at_once)  # in the worker and with the collectors
            await watcher.serves()
            processes = [world.gateway.child(name) for name in ("proxy", "collectors")]
            held = [held_by(pid) for pid in processes]
            sockets_held = len(sockets(run_dir))
            for _ in range(turns):
                await watcher.restart()
                await watcher.serves()
            await sockets_are(run_dir, sockets_held)
            for before, after in zip(held, [held_by(pid) for pid in processes], strict=True):
                assert after["children"] == before["children"]
                # A few threads and connections come and go with calls; one for each restart would be a leak.
                assert after["files"] < before["files"] + turns * at_once
                assert after["threads"] < before["threads"] + turns * at_once
            assert await world.gateway.stop() == 0
            assert watcher.pids() == []
            assert sockets(run_dir) == []
