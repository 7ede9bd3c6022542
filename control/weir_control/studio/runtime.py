"""``Studio``: the studio plugins of an installation, and the delivery of payloads to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from weir_collectors.backoff import Backoff
from weir_control.publisher import Publisher
from weir_control.store.snapshots import read_snapshot
from weir_control.store.store import Store
from weir_control.studio.delivering import Delivery
from weir_control.studio.dispatching import Dispatcher, DispatchStatus
from weir_control.studio.inbox import Inbox
from weir_control.studio.receiving import Receiving
from weir_control.studio.results import SpooledResults
from weir_control.workers import PluginReport, Report, Workers
from weir_core.errors import WeirError
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_streams.log import EventLog
from weir_streams.notices import SpooledNotices
from weir_streams.reports import Logger
from weir_streams.spool import Spool

STUDIO_HOOKS: Final = frozenset(("studio",))

_REPORT_EVERY_S: Final = 1.0
_BACKOFF: Final = Backoff(first_s=0.1, longest_s=5.0)

Sleep = Callable[[float], Awaitable[None]]
HostFactory = Callable[[Callable[[], Snapshot]], PluginHost]
"""Makes the host of the studio plugins, from what gives the snapshot in force."""


class Studio:
    """Runs in one control process of an installation, the one that leads.

    Args:
        store: The configuration, and the database that payloads wait in.
        publisher: Says when there is a new revision.
        workers: Told how the studio plugins are.
        log: Where payloads come from; its owner closes it.
        spool: Where results go; its owner closes it.
        notices: Told of payloads that are given up.
        make_host: See ``HostFactory``; ``run`` closes the host.
        name: Of this process, in reports.
        logger: Told of outages and dead letters.
        sleep: Waits between tries.
    """

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        workers: Workers,
        *,
        log: EventLog,
        spool: Spool,
        make_host: HostFactory,
        name: str,
        logger: Logger,
        notices: SpooledNotices | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._workers = workers
        self._name = name
        self._logger = logger
        self._sleep = sleep
        self._snapshot = Snapshot(0)
        self._host = make_host(lambda: self._snapshot)
        self._inbox = Inbox(store.engine, store.clock)
        self._dispatcher = Dispatcher(
            self._inbox,
            Delivery(self._host, lambda: self._snapshot, store.clock),
            SpooledResults(spool, store.clock, notices=notices),
            clock=store.clock,
            logger=logger,
            sleep=sleep,
        )
        self._receiving = Receiving(log, self._inbox, self._dispatcher.wake, logger=logger, sleep=sleep)

    @property
    def status(self) -> DispatchStatus:
        """What became of payloads since the start."""
        return self._dispatcher.status

    async def counts(self) -> Mapping[str, int]:
        """How many payloads are in the database, by state.

        Raises:
            DatabaseUnavailableError: Retryable; it does not answer.
        """
        return await self._inbox.counts()

    async def run(self) -> None:
        """Host and deliver until cancelled; then stop delivering, and shut the plugins down."""
        jobs: list[asyncio.Task[Any]] = [
            asyncio.create_task(job())
            for job in (self._follow, self._report_forever, self._receiving.run, self._dispatcher.run)
        ]
        try:
            await asyncio.gather(*jobs)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            await self._dispatcher.close()
            await self._host.close()

    async def _follow(self) -> None:
        """Bring the plugins to every published revision."""
        failures = wanted = 0
        while True:
            await self._publisher.wait_for(wanted)
            try:
                self._snapshot = await read_snapshot(self._store)
                await self._host.apply(self._snapshot)
                failures, wanted = 0, self._snapshot.revision + 1
            except WeirError as error:
                failures += 1
                self._logger.warning("studio plugins cannot be read", reason=str(error))
                await self._sleep(_BACKOFF.after(failures))

    async def _report_forever(self) -> None:
        while True:
            self._workers.record(self._report())
            await asyncio.sleep(_REPORT_EVERY_S)

    def _report(self) -> Report:
        return Report(
            worker=self._name,
            role="control",
            revision=self._snapshot.revision,
            plugins={
                plugin_id: PluginReport(state.state, state.reason, state.restarts)
                for plugin_id, state in self._host.states().items()
            },
        )
