"""A control process for the tests of leadership: the real publisher, over a feed that several share.

Run as ``python leader_process.py <database URL> <encryption key> <directory> <name>``. What it publishes stands in
``<directory>/published``, one ``<epoch> <revision> <name>`` a line. While there is a file ``<directory>/hold``, it
prints ``publishing`` before each line and waits until the file is gone.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weir_collectors.database import create_engine
from weir_control.leading import Leader
from weir_control.publisher import Publisher
from weir_control.store.leadership import Leadership
from weir_control.store.store import Store
from weir_core.clock import SystemClock
from weir_core.secrets import KeyRing
from weir_core.snapshot import Snapshot
from weir_streams.config_records import Published


class StaleLeaderError(Exception):
    """The feed has heard of a newer leader."""


class SharedFeed:
    """A log that, as a transactional one does, takes nothing from a writer that another has replaced."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name
        self._epoch = -1

    def claim(self, epoch: int) -> None:
        self._epoch = epoch
        with self._locked():
            (self._directory / "epoch").write_text(str(epoch))

    async def publish(self, snapshot: Snapshot, epoch: int) -> None:
        await asyncio.to_thread(self._publish, snapshot)

    def _publish(self, snapshot: Snapshot) -> None:
        if (self._directory / "hold").exists():
            print("publishing", flush=True)
            while (self._directory / "hold").exists():
                time.sleep(0.01)
        with self._locked():
            if int((self._directory / "epoch").read_text()) != self._epoch:
                raise StaleLeaderError
            with (self._directory / "published").open("a") as published:
                published.write(f"{self._epoch} {snapshot.revision} {self._name}\n")

    async def published(self) -> Published:
        return Published(0, -1)

    async def is_behind(self) -> bool:
        return False

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


async def run(url: str, key: str, directory: Path, name: str) -> None:
    engine = create_engine(url)
    feed = SharedFeed(directory, name)
    leadership = Leadership(engine, name, claim=feed.claim, silent_for_s=2.5)
    store = Store(engine, KeyRing.from_text(key), SystemClock())
    leader = Leader(leadership)
    leader.start()
    await Publisher(store, feed, leader=leader).start()
    print("started", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
