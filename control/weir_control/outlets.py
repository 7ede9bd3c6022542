"""Where the publisher brings revisions to."""

from __future__ import annotations

import asyncio
from typing import Protocol

from weir_core.snapshot import Snapshot
from weir_streams.config_feed import FileConfigFeed
from weir_streams.config_records import Published


class Outlet(Protocol):
    """A place that readers follow; they see a revision whole or not at all."""

    async def publish(self, snapshot: Snapshot, epoch: int) -> None:
        """Make ``snapshot`` the newest revision, durably, for every namespace.

        Args:
            snapshot: The whole configuration.
            epoch: That of the leader who publishes; 0 where there is no other.

        Raises:
            WeirError, OSError: It may or may not be published.
        """
        ...

    async def published(self) -> Published:
        """What readers have now.

        Raises:
            WeirError, OSError: It cannot be said.
        """
        ...

    async def is_behind(self) -> bool:
        """Whether some readers lack the last revision, although it was published.

        Raises:
            WeirError, OSError: It cannot be said.
        """
        ...


class FileOutlet:
    """Files for the processes of one data directory."""

    def __init__(self, feed: FileConfigFeed) -> None:
        self._feed = feed

    async def publish(self, snapshot: Snapshot, epoch: int) -> None:
        """See ``Outlet.publish``."""
        await asyncio.to_thread(self._feed.publish, snapshot)

    async def published(self) -> Published:
        """See ``Outlet.published``."""
        current = await asyncio.to_thread(self._feed.current, "")
        return Published(0, -1 if current is None else current.revision)

    async def is_behind(self) -> bool:
        """See ``Outlet.is_behind``."""
        return False
