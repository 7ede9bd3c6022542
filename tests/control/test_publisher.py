"""Every committed revision reaches those who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy import func, select
from tests.control.conftest import TESTER, World, open_engine

from weir_control.outlets import FileOutlet
from weir_control.publisher import Publisher
from weir_control.store.store import Store
from weir_control.store.tables import config_outbox
from weir_core.clock import SystemClock
from weir_core.secrets import KeyRing
from weir_core.snapshot import Snapshot
from weir_streams.config_feed import FileConfigFeed


class FlakyFeed(FileConfigFeed):
    """A disk that refuses as often as it is told to."""

    def __init__(self, directory: Path, keyring: KeyRing) -> None:
        super().__init__(directory, keyring, structlog.get_logger())
        self.refusals = 0
        self.revisions: list[int] = []

    def publish(self, snapshot: Snapshot) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError("no space left on device")
        super().publish(snapshot)
        self.revisions.append(snapshot.revision)


@pytest.fixture
async def store(database_url: str, keyring: KeyRing) -> AsyncIterator[Store]:
    store = Store(open_engine(database_url), keyring, SystemClock())
    yield store
    await store.engine.dispose()


@pytest.fixture
def feed(tmp_path: Path, keyring: KeyRing) -> FlakyFeed:
    return FlakyFeed(tmp_path / "config", keyring)


async def change(store: Store) -> int:
    async with store.changing(TESTER) as changing:
        await changing.touch("app", 1)
    return changing.revision


async def outbox_rows(store: Store) -> int:
    async with store.reading() as connection:
        return (await connection.execute(select(func.count()).select_from(config_outbox))).scalar_one()


async def test_the_first_start_publishes_an_empty_configuration(store: Store, feed: FlakyFeed) -> None:
    publisher = Publisher(store, FileOutlet(feed))
    await publisher.start()
    await publisher.wait_for(0)
    await publisher.stop()
    assert feed.revisions == [0]


async def test_what_was_committed_while_nobody_published_follows_at_the_start(
    store: Store, feed: FlakyFeed
) -> None:
    revision = [await change(store) for _ in range(3)][-1]
    assert await outbox_rows(store) == 3
    publisher = Publisher(store, FileOutlet(feed))
    await publisher.start()
    await publisher.wait_for(revision)
    await publisher.stop()
    assert feed.revisions == [revision]


async def test_a_burst_of_changes_becomes_few_snapshots_and_the_outbox_is_emptied(
    store: Store, feed: FlakyFeed
) -> None:
    gate = asyncio.Event()

    async def wait_at_the_gate(_seconds: float) -> None:
        await gate.wait()

    publisher = Publisher(store, FileOutlet(feed), wait_at_the_gate)
    await publisher.start()
    await publisher.wait_for(0)
    last = [await change(store) for _ in range(20)][-1]
    gate.set()
    await publisher.wait_for(last)
    assert (feed.revisions[0], feed.revisions[-1]) == (0, last)
    assert len(feed.revisions) < last
    while await outbox_rows(store):
        await asyncio.sleep(0)
    await publisher.stop()


async def test_a_failure_is_told_and_tried_again_with_growing_pauses(store: Store, feed: FlakyFeed) -> None:
    pauses: list[float] = []
    told: list[str | None] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        told.append(publisher.failure)

    feed.refusals = 8
    publisher = Publisher(store, FileOutlet(feed), pause)
    await publisher.start()
    await publisher.wait_for(0)
    await publisher.stop()
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert told == ["OSError: no space left on device"] * 8
    assert publisher.failure is None


async def test_a_database_older_than_what_was_published_moves_past_it(store: Store, feed: FlakyFeed) -> None:
    feed.publish(Snapshot(41))
    publisher = Publisher(store, FileOutlet(feed))
    await publisher.start()
    await publisher.wait_for(42)
    assert await change(store) == 43
    await publisher.stop()


async def test_a_change_by_another_process_is_found(
    store: Store, feed: FlakyFeed, database_url: str, keyring: KeyRing
) -> None:
    publisher = Publisher(store, FileOutlet(feed))
    await publisher.start()
    await publisher.wait_for(0)
    elsewhere = Store(open_engine(database_url), keyring, SystemClock())
    revision = await change(elsewhere)
    async with asyncio.timeout(20):
        await publisher.wait_for(revision)
    await publisher.stop()
    await elsewhere.engine.dispose()


async def test_stopping_at_any_moment_ends_the_task(store: Store, feed: FlakyFeed) -> None:
    for turns in range(40):
        publisher = Publisher(store, FileOutlet(feed))
        await publisher.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await publisher.stop()


async def test_a_change_that_fails_leaves_neither_revision_nor_outbox(store: Store) -> None:
    async def fail() -> None:
        async with store.changing(TESTER) as changing:
            await changing.touch("app", 1)
            raise RuntimeError

    first = await change(store)
    with pytest.raises(RuntimeError):
        await fail()
    assert await outbox_rows(store) == 1
    assert await change(store) == first + 1


async def test_concurrent_changes_get_revisions_of_their_own(store: Store) -> None:
    revisions = await asyncio.gather(*(change(store) for _ in range(20)))
    assert sorted(revisions) == list(range(1, 21))


async def test_ready_says_when_publication_fails(world: World) -> None:
    world.service.publisher.failure = "OSError: disk full at /secret/place"
    answer = await world.client.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"]
    assert "/secret/place" not in answer.text
