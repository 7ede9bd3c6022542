"""A plugin in processes of its own that every call passes and that gets every event, to be killed and replaced."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.support.gateway import eventually
from tests.support.processes import processes_of
from tests.support.world import World

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
        for plugin_id in self.ids:
            await self._world.gateway.hosted(plugin_id)

    def pids(self) -> list[int]:
        return sorted(processes_of(self.script))

    async def are(self, count: int) -> None:
        """Wait until it has so many processes."""

        async def so_many() -> bool:
            return len(self.pids()) == count

        await eventually(so_many, f"{count} processes of the plugin", within_s=90)

    async def kill(self) -> int:
        """Kill all its processes, and wait until others have taken their places; how many there are."""
        killed = self.pids()
        for pid in killed:
            kill(pid)
        return await self._replaced(killed)

    async def reload(self) -> int:
        """Have all its processes started anew, and wait until the old ones have gone; how many there are."""
        before = self.pids()
        for plugin_id in self.ids:
            answer = await self._world.gateway.api.post(f"/api/v1/plugins/{plugin_id}/reload")
            assert answer.is_success, answer.text
        return await self._replaced(before)

    async def _replaced(self, before: list[int]) -> int:
        async def replaced() -> bool:
            return len(self.pids()) == len(before) and set(before).isdisjoint(self.pids())

        await eventually(replaced, "every process is replaced", within_s=90, every_s=0.1)
        await self.run()
        return len(before)

    async def serves(self) -> None:
        """Wait until a call has passed a process that is alive."""

        async def watched() -> bool:
            answer = await self._world.client.post(
                "/llm/call/gpt/v1/chat/completions",
                json={"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]},
            )
            return answer.status_code == 200 and answer.json().get("watched") is True

        await eventually(watched, "the plugin serves again", within_s=90)


def kill(pid: int) -> None:
    """SIGKILL a process that may have gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
