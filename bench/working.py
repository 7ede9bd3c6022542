"""A worker in this process, as ``weir collect`` runs it, until it is done with a spool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.turns import Turn, timed
from weir_collectors.status import WorkerStatus
from weir_collectors.worker import CollectorWorker, WorkerSettings
from weir_core.clock import SystemClock
from weir_core.garbage import spare_the_collector
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_streams.embedded import EmbeddedLog
from weir_streams.log import Consumer, Partition
from weir_streams.spool_ranges import SpoolRanges

_LOOK_EVERY_S: Final = 0.05
_START_WITHIN_S: Final = 30.0


async def worker_turn(
    root: Path,
    engine: AsyncEngine,
    count: int,
    *,
    run: str,
    plugins: Sequence[Plugin] = (),
    done: Callable[[WorkerStatus], int],
) -> Turn:
    """Work through all events of a data directory's spool from the beginning, and say how fast that was.

    Args:
        engine: A database with tables; the caller disposes of it.
        count: How many events there are.
        run: A name of its own, for the groups.
        done: How many events the worker is done with.
    """
    logger: Any = structlog.get_logger("weir.bench")
    clock = SystemClock()
    host = PluginHost(
        runtime="gateway",
        hook_types=frozenset({"data_collection"}),
        gateway_reads=lambda: worker.snapshot,
        plugin_modules=None,
        edge_id="",
        edge_namespace="",
        logger=logger,
        clock=clock,
    )
    snapshot = Snapshot(1, plugins)
    await host.apply(snapshot, _START_WITHIN_S)
    log = _FreshLog(EmbeddedLog(root, clock=clock, logger=logger), run)
    worker = CollectorWorker(
        name="bench",
        log=log,
        reader=SpoolRanges(root, clock.monotonic),
        feed=_OneSnapshot(snapshot),
        host=host,
        engine=engine,
        clock=clock,
        logger=logger,
        settings=WorkerSettings(),
    )
    spare_the_collector()
    turn = await timed(count, _work(worker, lambda: done(worker.status()) >= count))
    await host.close()
    await log.close()
    return turn


async def _work(worker: CollectorWorker, is_done: Callable[[], bool]) -> None:
    stop = asyncio.Event()
    working = asyncio.create_task(worker.run(stop))
    # Nothing tells how far it is; that can only be looked at.
    while not is_done():  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_EVERY_S)
    stop.set()
    await working


class _OneSnapshot:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    async def wait_newer(self, revision: int) -> Snapshot:
        if revision >= self._snapshot.revision:
            await asyncio.Event().wait()
        return self._snapshot


class _FreshLog:
    """A log whose groups begin at its beginning."""

    def __init__(self, log: EmbeddedLog, groups: str) -> None:
        self._log = log
        self._groups = groups

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: Mapping[Partition, int] | None = None
    ) -> Consumer:
        return await self._log.consumer(f"{self._groups}.{group}", topics, start=start)

    async def close(self) -> None:
        await self._log.close()
