"""Plugins are changed in every way while calls go on: none fails, and each is of one version from end to end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from tests.support.gateway import eventually
from tests.support.world import PLUGINS, Door, World, open_world

from weir_cli.mock_upstream.process import running

pytestmark = pytest.mark.timeout(180)

CALLERS: Final = 4
# Streams long enough that every change finds some of them between two events.
PACE: Final = {"first_byte_ms": 10, "chunk_ms": 10}
COMMANDS: Final = {
    ("py", "a"): "python://weir_stamp_plugins:Stamping",
    ("py", "b"): "python://weir_stamp_plugins:Restamping",
    ("exe", "a"): f"file://{PLUGINS / 'weir_stamp_plugins.py'}",
    ("exe", "b"): f"file://{PLUGINS / 'weir_restamp_plugins.py'}",
}


@dataclass
class Stamper:
    """A plugin as it is configured now."""

    name: str
    id: int = 0
    build: str = "a"
    version: int = 1
    override: int | None = None
    is_active: bool = True

    @property
    def stamp(self) -> str:
        return f"{self.name}={self.build}{self.version if self.override is None else self.override}"


@dataclass
class Line:
    """Plugins in a row behind one LLM, and all rows of stamps that were ever in force, the newest last."""

    world: World
    door: Door
    stampers: dict[str, Stamper]
    attached: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    oldest: int = 0
    """Calls that begin now may have this row of stamps, or a newer one."""

    def row(self) -> str:
        """The stamps that calls should get now."""
        stampers = (self.stampers[name] for name in self.attached)
        return ",".join(one.stamp for one in stampers if one.is_active)

    async def change(self, write: Callable[[], Awaitable[object]]) -> None:
        """Make a change whose outcome the model shows already, and wait until it is in force."""
        self.history.append(self.row())
        await write()

        async def in_force() -> bool:
            return (await self.stamps()) == self.history[-1]

        await eventually(in_force, f"{self.history[-1]} is in force")
        self.oldest = len(self.history) - 1

    async def patch(self, name: str, **fields: Any) -> None:
        stamper = self.stampers[name]
        await self.change(lambda: self.world.gateway.write("PATCH", f"plugins/{stamper.id}", **fields))

    async def upgrade(self, name: str) -> None:
        """A new config."""
        self.stampers[name].version += 1
        await self.patch(name, config={"version": self.stampers[name].version})

    async def rebuild(self, name: str) -> None:
        """The other command."""
        stamper = self.stampers[name]
        stamper.build = "b" if stamper.build == "a" else "a"
        await self.patch(name, command=COMMANDS[name, stamper.build])

    async def switch(self, name: str, *, on: bool) -> None:
        """``is_active``."""
        self.stampers[name].is_active = on
        await self.patch(name, is_active=on)

    async def attach(self, *names: str, **overrides: int) -> None:
        """These, in this order, with these versions of their own."""
        self.attached = list(names)
        for name, stamper in self.stampers.items():
            stamper.override = overrides.get(name)
        plugins = [
            {
                "plugin_id": self.stampers[name].id,
                "timeout_ms": 20_000,
                "on_error": "fail_closed",
                "response_headers": ["x-asked"],
                **({"config_override": {"version": overrides[name]}} if name in overrides else {}),
            }
            for name in names
        ]
        url = f"llms/{self.door.llm_id}/plugins"
        await self.change(lambda: self.world.gateway.write("PUT", url, plugins=plugins))

    async def refused(self, method: str, resource: str, status: int, **fields: Any) -> None:
        """A change that is refused, and changes nothing."""
        answer = await self.world.gateway.api.request(method, f"/api/v1/{resource}", json=fields)
        assert answer.status_code == status, answer.text
        assert (await self.stamps()) == self.history[-1]

    async def stamps(self, *, stream: bool = False) -> str:
        """The one row of stamps that a call got, wherever it was stamped."""
        answer = await self.world.ask(self.door, stream=stream)
        assert answer.status_code == 200, answer.text
        rows = {answer.headers.get("x-asked", ""), answer.headers.get("x-answered", "")}
        rows |= {document.get("stamps", "") for document in documents(answer)}
        assert len(rows) == 1, f"a mix of versions: {rows}"
        return rows.pop()

    async def call(self, until: asyncio.Event) -> int:
        """Call again and again; each row must be of what was in force at the call's start, or later."""
        count = 0
        while not until.is_set():
            oldest = self.oldest
            row = await self.stamps(stream=count % 2 == 0)
            assert is_of(row, self.history[oldest:]), f"{row} is not of {self.history[oldest:]}"
            count += 1
        return count


def is_of(row: str, history: list[str]) -> bool:
    """Whether the row has an order that was in force, of stamps that were.

    A program that is slow to start lets the rest of a change go ahead of it, and serves as before till then.
    """
    stamps = {stamp for known in history for stamp in known.split(",")}
    return order(row) in map(order, history) and stamps.issuperset(row.split(","))


def order(row: str) -> list[str]:
    """The names in a row of stamps."""
    return [stamp.partition("=")[0] for stamp in row.split(",")]


def documents(answer: httpx2.Response) -> list[dict[str, Any]]:
    """The JSON of an answer, or of each event of a streamed one."""
    if answer.headers["content-type"].startswith("application/json"):
        return [answer.json()]
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]", answer.text
    return [json.loads(line) for line in lines]


async def a_line(world: World) -> Line:
    stampers = {name: Stamper(name) for name in ("py", "exe")}
    for name, stamper in stampers.items():
        created = await world.gateway.create(
            "plugins",
            name=name,
            slug=name,
            command=COMMANDS[name, "a"],
            config={"name": name, "version": 1},
        )
        stamper.id = created["id"]
        await world.gateway.hosted(stamper.id)
    return Line(world, await world.door(), stampers)


async def change_everything(line: Line) -> None:
    """Every kind of change, of both kinds of plugins."""
    for name, other in (("py", "exe"), ("exe", "py")):
        await line.upgrade(name)
        await line.attach(other, name)
        await line.rebuild(name)
        await line.attach(name, other, **{name: 70})
        await line.upgrade(other)
        await line.attach(name, other, **{name: 71})
        await line.attach(name, other, **{name: 71, other: 80})
        await line.upgrade(name)
        await line.refused("PATCH", f"plugins/{line.stampers[name].id}", 422, config={"refuse": True})
        await line.attach(other, name)
        await line.switch(name, on=False)
        await line.upgrade(other)
        await line.switch(name, on=True)
        await line.refused("DELETE", f"plugins/{line.stampers[name].id}", 409)
        await line.attach(other)
        await line.attach(name, other)


async def test_no_call_fails_or_is_of_two_versions_while_plugins_are_changed(tmp_path: Path) -> None:
    with running(tmp_path / "calls.jsonl", **PACE) as upstream:
        async with open_world(tmp_path / "data", upstream) as world:
            line = await a_line(world)
            await line.attach("py", "exe")
            enough = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                callers = [tasks.create_task(line.call(enough)) for _ in range(CALLERS)]
                await change_everything(line)
                await line.attach()
                for stamper in line.stampers.values():
                    await world.gateway.write("DELETE", f"plugins/{stamper.id}")
                enough.set()
            assert len(line.history) > 20
            assert sum(caller.result() for caller in callers) > 5 * len(line.history)
            failed = [log for log in await world.gateway.records("proxy-logs") if log["outcome"] != "served"]
            assert failed == []
