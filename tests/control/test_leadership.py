"""Several control processes on one Postgres: one publishes, whoever is killed, stopped or cut off."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import text
from tests.control.conftest import TESTER
from tests.support.gateway import eventually

from weir_collectors.database import create_engine
from weir_control.errors import LeadershipLostError
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
    after = await installation.until_published(await installation.change())
    assert after.epoch >= before.epoch
    async with installation.store.reading() as connection:
        epoch = (await connection.execute(text("SELECT epoch FROM config_publication"))).scalar_one()
    assert epoch > before.epoch


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


async def leads(leadership: Leadership) -> bool:
    return await leadership.lead() is not None


async def cut_all_connections(installation: Installation) -> None:
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    async with installation.store.engine.connect() as connection:
        await connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}"))
