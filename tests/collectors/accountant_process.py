"""An accountant process for the crash tests: the real log and database, on a data directory.

Run as ``python accountant_process.py <data dir>``. Prints ``added`` each time that a batch is in the sums and
nothing else knows of it yet. Ends by itself when the whole log is in the sums.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import structlog

from weir_collectors.accountant import Accountant
from weir_collectors.book import Book
from weir_collectors.database import create_engine
from weir_core.clock import SystemClock
from weir_streams.billed import Batch
from weir_streams.embedded import EmbeddedLog


class AnnouncingBook(Book):
    """Says ``added`` after each batch, and sets ``caught_up`` when there is no more to add."""

    caught_up: asyncio.Event

    async def add(self, batch: Batch, as_of_us: int | None, now_us: int) -> None:
        await super().add(batch, as_of_us, now_us)
        print("added", flush=True)
        if as_of_us is not None:
            self.caught_up.set()


async def run(root: Path) -> None:
    engine = create_engine(f"sqlite:///{root / 'weir.db'}")
    clock = SystemClock()
    logger = structlog.get_logger()
    log = EmbeddedLog(root, clock=clock, logger=logger)
    book = AnnouncingBook(engine, "accountant of the tests")
    book.caught_up = asyncio.Event()
    stop = asyncio.Event()
    adding = asyncio.create_task(Accountant(log, book, clock=clock, logger=logger).run(stop))
    await book.caught_up.wait()
    stop.set()
    await adding
    await log.close()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
