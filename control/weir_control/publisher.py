"""Brings every committed revision to those who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

import structlog

from weir_collectors.backoff import Backoff
from weir_control.leading import Leader
from weir_control.outlets import Outlet
from weir_control.store.leadership import Leadership
from weir_control.store.snapshots import read_snapshot
from weir_control.store.store import Store, newest_revision

_log = structlog.get_logger("weir.control")

# Long enough that a script's burst of writes becomes a few snapshots, short enough that nobody waits.
_COALESCE_S: Final = 0.02
# Other processes write to the same database (the command line does); their changes are found by looking.
_LOOK_EVERY_S: Final = 1.0
# Where any replica takes changes and the leader publishes them, most are found so.
_LOOK_AT_REPLICAS_EVERY_S: Final = 0.2
_BACKOFF: Final = Backoff(first_s=0.1, longest_s=5.0)


class Publisher:
    """Publishes the newest revision: at the start, after each change, and again until it succeeds.

    Args:
        store: The configuration.
        outlet: Where revisions go.
        sleep: Waits; a test may take its place.
        leader: For an outlet that several control processes share: only the leader publishes, and the others
            know from the database what has been. None for an outlet that is this process's alone.
    """

    def __init__(
        self,
        store: Store,
        outlet: Outlet,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        leader: Leader | None = None,
    ) -> None:
        self._store = store
        self._outlet = outlet
        self._sleep = sleep
        self._leadership = None if leader is None else leader.leadership
        self._look_every_s = _LOOK_EVERY_S if leader is None else _LOOK_AT_REPLICAS_EVERY_S
        self._epoch: int | None = None
        self._changed = asyncio.Event()
        self._published = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self.published_revision = -1
        """The revision that readers can see; -1 before the first."""
        self.failure: str | None = None
        """Why the last attempt failed; None when it did not."""
        store.on_change(self._changed.set)

    async def start(self) -> None:
        """Begin to publish. Returns at once."""
        self._task = asyncio.create_task(self._run(), name="config publisher")

    async def stop(self) -> None:
        """Stop; a revision that is not published yet is at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait_for(self, revision: int) -> None:
        """Return when this revision, or a later one, is published."""
        async with self._published:
            await self._published.wait_for(lambda: self.published_revision >= revision)

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self._catch_up()
                failures = 0
            # Whatever goes wrong, configuration must go on flowing once it can: this loop has no other end.
            except Exception as error:  # noqa: BLE001  # see the sentence above
                failures += 1
                self.failure = f"{type(error).__name__}: {error}"
                _log.error("the configuration could not be published", error=self.failure, tries=failures)
                await self._sleep(_BACKOFF.after(failures))
                continue
            await self._wait_for_change()

    async def _catch_up(self) -> None:
        """Publish until nothing is newer, or hear what the leader has published."""
        if self._leadership is not None and not await self._leads(self._leadership):
            return
        if self.published_revision < 0 and not await self._goes_past_readers():
            return
        while True:
            self._changed.clear()
            async with self._store.reading() as connection:
                newest = await newest_revision(connection)
            if newest <= self.published_revision and not await self._outlet.is_behind():
                self.failure = None
                return
            snapshot = await read_snapshot(self._store)
            async with self._alone(snapshot.revision):
                await self._outlet.publish(snapshot, self._epoch or 0)
            await self._note(snapshot.revision)
            await self._store.forget_published(snapshot.revision)

    async def _leads(self, leadership: Leadership) -> bool:
        epoch = leadership.epoch
        if epoch is None:
            published = await leadership.published()
            if published > self.published_revision:
                await self._note(published)
            self.failure = None
        elif epoch != self._epoch:
            # What the last leader was about to publish may be missing: this one begins with everything.
            self.published_revision = -1
        self._epoch = epoch
        return epoch is not None

    def _alone(self, revision: int) -> AbstractAsyncContextManager[None]:
        if self._leadership is None or self._epoch is None:
            return nullcontext()
        return self._leadership.publishing(self._epoch, revision)

    async def _goes_past_readers(self) -> bool:
        """See to it that readers will take what comes; False when another epoch has to begin for it."""
        published = await self._outlet.published()
        async with self._store.reading() as connection:
            newest = await newest_revision(connection)
        if published.revision > newest:
            _log.warning(
                "the database is older than what was published; its revisions go on from there",
                database=newest,
                published=published.revision,
            )
            await self._store.move_past(published.revision)
        if self._leadership is None or published.epoch <= (self._epoch or 0):
            return True
        await self._leadership.move_past(published.epoch)
        return False

    async def _note(self, revision: int) -> None:
        self.failure = None
        async with self._published:
            self.published_revision = revision
            self._published.notify_all()
        _log.info("configuration published", revision=revision)

    async def _wait_for_change(self) -> None:
        try:
            async with asyncio.timeout(self._look_every_s):
                await self._changed.wait()
        except TimeoutError:
            return
        await self._sleep(_COALESCE_S)
