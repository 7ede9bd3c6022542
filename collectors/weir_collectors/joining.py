"""A membership in a group. To join takes as long as others need to let go, which a stop does not wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from weir_streams.log import Consumer, EventLog, Partition


@asynccontextmanager
async def membership(
    log: EventLog,
    group: str,
    topics: Sequence[str],
    stop: asyncio.Event,
    *,
    start: Mapping[Partition, int] | None = None,
) -> AsyncIterator[Consumer | None]:
    """A member of ``group`` until left; None when ``stop`` was set before it had joined.

    Args:
        log: Where the group reads.
        group: As ``EventLog.consumer`` takes it, like ``topics`` and ``start``.
        stop: Ends the wait for a place in the group.

    Raises:
        StreamsError: The group cannot be joined.
    """
    joining = asyncio.create_task(log.consumer(group, topics, start=start))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((joining, stopping), return_when=asyncio.FIRST_COMPLETED)
        yield joining.result() if joining.done() else None
    finally:
        stopping.cancel()
        joining.cancel()
        await asyncio.wait((joining,))
        if not joining.cancelled() and joining.exception() is None:
            await joining.result().close()
