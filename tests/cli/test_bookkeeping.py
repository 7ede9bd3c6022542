"""The jobs beside collecting, as the collectors' process wires them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.fakes.event_log import FakeLog

from weir_cli.data_dir import DataDir
from weir_cli.roles.bookkeeping import Bookkeeping
from weir_cli.roles.context import RoleContext
from weir_cli.stopping import StopSignal
from weir_collectors.database import create_engine
from weir_control.migrations import upgrade
from weir_control.studio.tables import edge_payloads
from weir_core.clock import SystemClock
from weir_core.retention_options import RetentionOptions
from weir_core.secrets import KeyRing
from weir_core.settings import Settings

DAY_US = 86_400_000_000


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    url = f"sqlite:///{tmp_path / 'weir.db'}"
    await upgrade(url)
    engine = create_engine(url)
    yield engine
    await engine.dispose()


async def store_dead_payload(engine: AsyncEngine, name: str, days: float) -> None:
    failed_at_us = SystemClock().wall_us() - int(days * DAY_US)
    texts = dict.fromkeys(("edge_namespace", "edge_id", "last_error"), "")
    numbers = dict.fromkeys(("plugin_id", "sent_at_us", "received_at_us", "tries", "next_try_at_us"), 1)
    row = {
        "event_id": name,
        "state": "failed",
        "failed_at_us": failed_at_us,
        "value": b"",
        **texts,
        **numbers,
    }
    async with engine.begin() as connection:
        await connection.execute(insert(edge_payloads).values(row))


async def test_dead_letters_of_edge_payloads_go_by_the_setting_of_dead_letters(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    await store_dead_payload(engine, "old", 4)
    await store_dead_payload(engine, "young", 2)
    context = RoleContext(
        name="collectors",
        settings=Settings(retention=RetentionOptions(dead_letters_days=3)),
        data_dir=DataDir.at(tmp_path),
        keyring=KeyRing([bytes(32)]),
        listeners=(),
        clock=SystemClock(),
        logger=structlog.get_logger(),
        stop=StopSignal(),
    )
    books, stop = Bookkeeping(context, engine, FakeLog()), asyncio.Event()

    async def collect(_stop: asyncio.Event) -> None:
        while not books.removed:
            await asyncio.sleep(0.005)
        stop.set()

    await books.run_beside(collect, stop)
    async with engine.connect() as connection:
        left = (await connection.execute(select(edge_payloads.c.event_id))).scalars().all()
    assert (books.removed, left) == ({"edge_payloads": 1}, ["young"])
