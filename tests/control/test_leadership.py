"""Several control processes on one Postgres: one publishes, whoever is killed, stopped or cut off."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import text
from tests.control.conftest import TESTER
from tests.support.gateway import eventually

from weir_collectors.database import create_engine
from weir_control.errors import LeadershipLostError
from weir_control.leading import Leader
from weir_control.store.leadership import Leadership
from weir_control.store.store import Store
from weir_core.clock import SystemClock
from weir_core.secrets import KeyRing

pytestmark = [pytest.mark.system, pytest.mark.crash]

SCRIPT = Path(__file__).with_name("leader_process.py")


class Published(NamedTuple):
    epoch: int
    revision: int
    leader: str


@dataclass
class Installation:
    """A database, the feed in a directory, and control processes by name."""

    url: str
    key: str
    directory: Path
    store: Store
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, name: str) -> None:
        command = (sys.executable, str(SCRIPT), self.url, self.key, str(self.directory), name)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        self.processes[name] = process
        await self.said(name, "started")

    async def said(self, name: str, line: str) -> None:
        output = self.processes[name].stdout
        assert output is not None
        async with asyncio.timeout(20):
            while (said := (await output.readline()).decode().strip()) != line:
                assert said, f"{name} ended"

    def send(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    async def change(self) -> int:
        async with self.store.changing(TESTER) as change:
            await change.touch("app", 1)
        return change.revision

    def published(self) -> list[Published]:
        """Everything that was, in its order; it must never have gone back."""
        file = self.directory / "published"
        lines = file.read_text().splitlines() if file.exists() else []
        found = [
            Published(int(epoch), int(revision), name) for epoch, revision, name in map(str.split, lines)
        ]
        assert found == sorted(found, key=lambda item: (item.epoch, item.revision))
        assert [item.revision for item in found] == sorted(item.revision for item in found)
        return found

    async def until_published(self, revision: int) -> Published:
        async def there() -> bool:
            return any(item.revision >= revision for item in self.published())

        await eventually(there, f"revision {revision} is published")
        return self.published()[-1]


@pytest.fixture
async def installation(migrated_postgres: str, tmp_path: Path) -> AsyncIterator[Installation]:
    engine = create_engine(migrated_postgres)
    key = KeyRing.generate_key()
    store = Store(engine, KeyRing.from_text(key), SystemClock())
    installation = Installation(migrated_postgres, key, tmp_path, store)
    yield installation
    for process in installation.processes.values():
        if process.returncode is None:
            process.kill()
        await process.wait()
    await engine.dispose()


async def test_one_publishes_and_when_it_is_killed_the_other_goes_on(installation: Installation) -> None:
    await installation.start("first")
    assert (await installation.until_published(await installation.change())).leader == "first"
    await installation.start("second")
    assert (await installation.until_published(await installation.change())).leader == "first"
    installation.send("first", signal.SIGKILL)
    last = await installation.until_published(await installation.change())
    assert last.leader == "second"
    assert {item.epoch for item in installation.published()} == {1, 2}


async def test_a_leader_stopped_while_it_publishes_cannot_publish_the_old_over_the_new(
    installation: Installation,
) -> None:
    await installation.start("first")
    await installation.until_published(await installation.change())
    hold = installation.directory / "hold"
    hold.touch()
    await installation.change()
    await installation.said("first", "publishing")
    installation.send("first", signal.SIGSTOP)
    hold.unlink()
    await installation.start("second")
    newest = await installation.change()
    assert (await installation.until_published(newest)).leader == "second"
    installation.send("first", signal.SIGCONT)
    # It leads again when it can, which shows that it has gone on and what became of its old revision.
    installation.send("second", signal.SIGKILL)
    last = await installation.until_published(await installation.change())
    assert last.leader == "first"
    assert last.epoch == 3


async def test_a_leader_that_loses_its_connections_leads_on_only_in_a_new_epoch(
    installation: Installation,
) -> None:
    await installation.start("first")
    await installation.start("second")
    before = await installation.until_published(await installation.change())
    await cut_all_connections(installation)

    async def a_new_epoch_began() -> bool:
        async with installation.store.reading() as connection:
            epoch = (await connection.execute(text("SELECT epoch FROM config_publication"))).scalar_one()
        return bool(epoch > before.epoch)

    await eventually(a_new_epoch_began, "a new epoch begins")
    after = await installation.until_published(await installation.change())
    assert after.epoch > before.epoch


async def test_what_an_earlier_epoch_or_an_older_revision_would_publish_is_refused(
    installation: Installation,
) -> None:
    engine = installation.store.engine
    first, second = Leadership(engine, "first"), Leadership(engine, "second")
    epoch = await first.lead()
    assert epoch is not None
    assert await second.lead() is None
    async with first.publishing(epoch, 7):
        pass
    assert await second.published() == 7
    with pytest.raises(LeadershipLostError):
        async with first.publishing(epoch, 6):
            raise AssertionError("an older revision")
    await first.resign()
    await eventually(lambda: leads(second), "the other leads")
    with pytest.raises(LeadershipLostError):
        async with first.publishing(epoch, 8):
            raise AssertionError("an earlier epoch")
    await second.resign()


async def test_a_database_that_counts_behind_its_readers_goes_on_above_them(
    installation: Installation,
) -> None:
    leadership = Leadership(installation.store.engine, "first")
    assert await leadership.lead() == 1
    await leadership.move_past(57)
    assert leadership.epoch is None
    assert await leadership.lead() == 58
    await leadership.resign()


async def test_what_only_the_leader_runs_moves_with_leadership_and_begins_again_when_it_fails(
    installation: Installation,
) -> None:
    engine, running, failures = installation.store.engine, set[str](), ["out of luck"]
    first, second = (Leader(Leadership(engine, name), tenth_of_a_second) for name in ("first", "second"))

    async def work(name: str) -> None:
        if failures:
            raise RuntimeError(failures.pop())
        running.add(name)
        try:
            await asyncio.Event().wait()
        finally:
            running.remove(name)

    async def first_leads() -> bool:
        return first.leadership.epoch is not None

    async def runs(name: str) -> bool:
        return running == {name}

    jobs = []
    for leader, name in ((first, "first"), (second, "second")):
        leader.start()
        await eventually(first_leads, "the first leads")
        jobs.append(asyncio.create_task(leader.while_leading(partial(work, name))))
    await eventually(partial(runs, "first"), "the first works")
    await first.stop()
    await eventually(partial(runs, "second"), "the second works")
    await second.stop()
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


async def tenth_of_a_second(_seconds: float) -> None:
    await asyncio.sleep(0.1)


async def leads(leadership: Leadership) -> bool:
    return await leadership.lead() is not None


async def cut_all_connections(installation: Installation) -> None:
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    async with installation.store.engine.connect() as connection:
        await connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}"))
