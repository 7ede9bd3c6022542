"""Ending the clients of Kafka in bounded time.

A TLS connection is closed when both sides have said so. On uvloop a peer that does not gets 30 s, and the
client's own ``stop`` waits for that.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]
from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]

_CLOSE_WITHIN_S: Final = 1.0


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Do what the client's ``stop`` does: leave the group, where there is one, and close the connections.

    Waits for the group as long as that takes, for the connections no longer than a second.
    """
    if consumer._closed:
        return
    consumer._closed = True
    if consumer._coordinator is not None:
        await consumer._coordinator.close()
    if consumer._fetcher is not None:
        await consumer._fetcher.close()
    await close_connections(consumer._client)


async def close_connections(client: AIOKafkaClient, within_s: float = _CLOSE_WITHIN_S) -> None:
    """Close a client's connections, and cut those that are still open after ``within_s`` seconds.

    Nothing may be under way on them any more whose loss would matter.
    """
    writers = [connection._writer for connection in client._conns.values()]
    closing = asyncio.ensure_future(client.close())
    try:
        await asyncio.wait((closing,), timeout=within_s)
    finally:
        for writer in writers:
            if writer is not None:
                writer.transport.abort()
    await closing
