"""What is stored when collectors in processes of their own handle, pass, fail, hang or die: one table."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from tests.support.gateway import eventually
from tests.support.records import KINDS
from tests.support.world import PLUGINS, QUESTION, Door, World, open_world

from weir_cli.mock_upstream.process import RunningMock

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.crash, pytest.mark.timeout(180)]

CALLS: Final = ("yes", "no")
"""Each call's own request id: what the ones that handle a part go by."""

HANDLES: Final[dict[str, Sequence[str]]] = {
    "handles": CALLS,
    "partly": ("yes",),
    "partly in batches": ("yes",),
    "passes": (),
    "raises": (),
    "refuses": (),
    "unsuccessful": (),
    "rubbish": (),
    "hangs": (),
    "crashes": (),
}
"""Which calls' events a collector of this temper handles."""

FAILING: Final = ("raises", "refuses", "unsuccessful", "rubbish", "hangs", "crashes")
COMPANIONS: Final = (None, "handles", "raises")
"""Who decides beside it, in the process that hosts both; None for nobody."""


class Cell(NamedTuple):
    """A ``file://`` collector, a ``python://`` one beside it, and a call that both are told of."""

    temper: str
    companion: str | None
    call: str

    @property
    def handled(self) -> bool:
        """Whether any of them handles its events: one is enough, whatever the other does."""
        tempers = [self.temper, *([self.companion] if self.companion else [])]
        return any(self.call in HANDLES[temper] for temper in tempers)


CELLS: Final = list(itertools.starmap(Cell, itertools.product(HANDLES, COMPANIONS, CALLS)))


@dataclass(frozen=True)
class Collector:
    """A plugin of the management API, the file in which it notes what it says it handled, and its calls."""

    id: int
    slug: str
    temper: str
    notes: Path
    cells: Sequence[Cell]

    def handled(self) -> set[str]:
        """The ids of the events that it said it handled."""
        return set(self.notes.read_text().splitlines())

    @property
    def to_handle(self) -> int:
        """How many that are to be."""
        return len(KINDS) * sum(cell.call in HANDLES[self.temper] for cell in self.cells)

    @property
    def to_give_up(self) -> int:
        """How many events are to be dead letters of it."""
        return len(KINDS) * len(self.cells) if self.temper in FAILING else 0


async def test_an_event_is_stored_unless_somebody_handled_it_whatever_becomes_of_the_others(
    tmp_path: Path, upstream: RunningMock
) -> None:
    async with open_world(tmp_path / "data", upstream) as world:
        alone = await add_all(world, tmp_path, "file", HANDLES)
        beside = await add_all(world, tmp_path, "python", filter(None, COMPANIONS))
        collectors = [*alone.values(), *beside.values()]
        rows = list(itertools.product(HANDLES, COMPANIONS))
        opened = await asyncio.gather(
            *(door_of(world, alone[temper], beside.get(companion or "")) for temper, companion in rows)
        )
        doors = dict(zip(rows, opened, strict=True))
        answers = await asyncio.gather(*(ask(world, doors[cell[:2]], cell.call) for cell in CELLS))
        asked = dict(zip(answers, CELLS, strict=True))
        to_store = Counter(cell for cell in CELLS if not cell.handled)

        async def all_have_had_their_verdict() -> bool:
            return all([await has_had_its_events(world, collector) for collector in collectors]) and all(
                [await stored(world, kind, asked) >= to_store for kind in KINDS]
            )

        await eventually(
            all_have_had_their_verdict, "every event has had its verdict", within_s=60, every_s=0.2
        )
        await world.families.settled()
        for kind in KINDS:
            assert await stored(world, kind, asked) == to_store
        for collector in collectors:
            assert len(collector.handled()) == collector.to_handle, collector
            assert await letters(world, collector) == collector.to_give_up, collector
        assert await world.gateway.stop() == 0


async def add_all(
    world: World, directory: Path, hosting: str, tempers: Iterable[str]
) -> dict[str, Collector]:
    """A collector of each temper, running."""
    made = await asyncio.gather(*(add(world, directory, hosting, temper) for temper in tempers))
    await asyncio.gather(*(world.gateway.hosted(collector.id) for collector in made))
    return {collector.temper: collector for collector in made}


async def add(world: World, directory: Path, hosting: str, temper: str) -> Collector:
    batching = temper == "partly in batches"
    module = "weir_temper_batch_plugins" if batching else "weir_temper_plugins"
    commands = {"file": f"file://{PLUGINS / module}.py", "python": f"python://{module}:Tempered"}
    slug = f"{hosting}-{temper.replace(' ', '-')}"
    created = await world.gateway.create(
        "plugins",
        name=slug,
        slug=slug,
        command=commands[hosting],
        hook_types=["data_collection"],
        config={"temper": temper, "file": str(directory / slug)},
        collector={"max_tries": 1, "timeout_ms": 300 if temper == "hangs" else 20_000},
    )
    cells = [cell for cell in CELLS if temper == (cell.temper if hosting == "file" else cell.companion)]
    return Collector(created["id"], slug, temper, directory / slug, cells)


async def door_of(world: World, *collectors: Collector | None) -> Door:
    """An LLM whose events only these collectors get."""
    door = await world.door()
    attached = [{"plugin_id": collector.id} for collector in collectors if collector is not None]
    await world.gateway.write("PUT", f"llms/{door.llm_id}/plugins", plugins=attached)
    return door


async def ask(world: World, door: Door, call: str) -> str:
    """Make a call that carries this id of its own; the gateway's id of it."""
    headers = {"authorization": f"Bearer {door.caller.secret}", "x-request-id": call}
    answer = await world.client.post(door.path, json=QUESTION, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-request-id"])


async def has_had_its_events(world: World, collector: Collector) -> bool:
    return (
        len(collector.handled()) >= collector.to_handle
        and await letters(world, collector) >= collector.to_give_up
    )


async def stored(world: World, kind: str, asked: Mapping[str, Cell]) -> Counter[Cell]:
    """How many records there are of each call."""
    ids = Counter(record["request_id"] for record in await world.gateway.records(kind))
    return Counter({asked[one]: count for one, count in ids.items() if one in asked})


async def letters(world: World, collector: Collector) -> int:
    """How many events a collector has not got, one by one or in ranges."""
    query = {"collector": collector.slug, "limit": 100}
    found = 0
    for path in ("dead-letters", "dead-letters/ranges"):
        page = (await world.gateway.api.get(f"/api/v1/{path}", params=query)).raise_for_status().json()
        found += sum(row.get("events", 1) for row in page["data"])
    return found
