"""``ControlService``: the management plane of one installation, wired."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.applications import Starlette

from weir_control.app import create_app
from weir_control.deps import ControlDeps
from weir_control.internal import create_internal_app
from weir_control.plugins.changes import PluginChanges
from weir_control.plugins.probing import Prober, Probing
from weir_control.publisher import Publisher
from weir_control.store.store import Store
from weir_control.studio.runtime import HostFactory, Studio
from weir_control.workers import Workers
from weir_streams.log import EventLog
from weir_streams.notices import SpooledNotices
from weir_streams.reports import Logger
from weir_streams.spool import Spool


class ControlService:
    """The two applications, and the publisher behind them.

    Args:
        store: Over a migrated database; the caller disposes of its engine.
        publisher: Brings revisions out; runs from ``start`` to ``stop``.
        prober: Tries plugins out before they are stored.
        version: What the API's documentation says it is.
    """

    def __init__(self, store: Store, publisher: Publisher, prober: Prober, version: str) -> None:
        self._store = store
        self.workers = Workers(store.clock)
        self.publisher = publisher
        deps = ControlDeps(
            store=store,
            plugin_changes=PluginChanges(store, Probing(prober)),
            workers=self.workers,
            publisher=self.publisher,
        )
        self.app: FastAPI = create_app(deps, version)
        """The management API; safe to hand requests from outside to."""
        self.internal_app: Starlette = create_internal_app(self.workers)
        """Takes the workers' reports; only for a socket that nothing from outside is handed to."""

    def studio(
        self,
        *,
        log: EventLog,
        spool: Spool,
        make_host: HostFactory,
        name: str,
        logger: Logger,
        notices: SpooledNotices | None = None,
    ) -> Studio:
        """The studio plugins and what is delivered to them; for the one process that leads."""
        return Studio(
            self._store,
            self.publisher,
            self.workers,
            log=log,
            spool=spool,
            make_host=make_host,
            name=name,
            logger=logger,
            notices=notices,
        )

    async def start(self) -> None:
        """Publish the newest revision, and each one after it. Returns at once."""
        await self.publisher.start()

    async def stop(self) -> None:
        """Stop publishing. What was committed and not published follows at the next start."""
        await self.publisher.stop()
