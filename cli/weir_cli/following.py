"""The configuration from its topic into the sealed files that the processes of a data directory read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from weir_collectors.backoff import Backoff
from weir_core.errors import WeirError
from weir_streams.config_feed import FileConfigFeed
from weir_streams.kafka.config_topic import ConfigTopic
from weir_streams.reports import Logger

_BACKOFF: Final = Backoff(first_s=0.2, longest_s=5.0)


class ConfigFollower:
    """Keeps the last closed revision on disk, so that it is in force while Kafka and control are away.

    Args:
        topic: That of this edge's namespace.
        feed: The files.
        namespace: Of this edge.
        logger: Told of revisions, and of what keeps them away.
        sleep: Waits between tries; a test may take its place.
    """

    def __init__(
        self,
        topic: ConfigTopic,
        feed: FileConfigFeed,
        namespace: str,
        logger: Logger,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._topic = topic
        self._feed = feed
        self._namespace = namespace
        self._logger = logger
        self._sleep = sleep
        self.reason = "the configuration has not been read from Kafka yet"
        """Why newer revisions may be missing; empty while the topic is followed."""

    async def run(self) -> None:
        """Follow until cancelled, whatever fails in between."""
        failures = 0
        while True:
            try:
                await self._follow()
            except (WeirError, OSError) as error:
                failures = failures + 1 if self.reason else 1
                self.reason = str(error)
                self._logger.warning(
                    "no newer configuration can be had, the last one goes on", reason=self.reason
                )
            await self._sleep(_BACKOFF.after(failures))

    async def _follow(self) -> None:
        async with aclosing(self._topic.follow()) as revisions:
            async for snapshot in revisions:
                self.reason = ""
                current = await asyncio.to_thread(self._feed.current, self._namespace)
                # The same one again at the start of each reading: it may be sealed with an older key on disk.
                if current is None or snapshot.revision >= current.revision:
                    await asyncio.to_thread(self._feed.publish, snapshot)
                    self._logger.info("configuration received", revision=snapshot.revision)
