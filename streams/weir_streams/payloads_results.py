"""The edge's side of results: reading them, so that ``pending_count`` tells the truth."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from weir_core.clock import Clock
from weir_streams.errors import StreamsError
from weir_streams.log import Consumer, EventLog, Partition
from weir_streams.payloads import EDGE_PAYLOAD_RESULT_TOPIC, RESULT_GROUPS, decode_result
from weir_streams.payloads_pending import PendingPayloads
from weir_streams.reports import Logger
from weir_streams.spool import Spool

_BATCH: Final = 500
_POLL_S: Final = 0.5
_KEEP_EVERY_S: Final = 1.0
_AGAIN_S: Final = 1.0


class ResultReader:
    """Follows the results of this edge's payloads, and keeps what is still pending.

    Args:
        log: Where results come from; its owner closes it.
        worker: Names the consumer group; the same after a restart, and no other's.
        spool: The worker's own.
        pending: What gets settled.
        clock: Paces keeping.
        logger: Told when results cannot be read.
        sleep: Waits between attempts.
    """

    def __init__(
        self,
        log: EventLog,
        worker: str,
        spool: Spool,
        pending: PendingPayloads,
        *,
        clock: Clock,
        logger: Logger,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._log = log
        self._group = RESULT_GROUPS + worker
        self._spool = spool
        self._pending = pending
        self._clock = clock
        self._logger = logger
        self._sleep = sleep
        self._kept = b""
        self._ends: dict[Partition, int] = {}

    async def run(self) -> None:
        """Read until cancelled; while the log is away, payloads stay pending."""
        while True:
            try:
                consumer = await self._log.consumer(self._group, (EDGE_PAYLOAD_RESULT_TOPIC,))
                try:
                    await self._follow(consumer)
                finally:
                    await consumer.close()
            except (StreamsError, OSError) as error:
                self._logger.warning("results of edge payloads cannot be read", reason=str(error))
                self._ends.clear()
                await self._sleep(_AGAIN_S)

    async def close(self) -> None:
        """Keep what is pending, for the next start."""
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._pending.write, self._snapshot())

    async def _follow(self, consumer: Consumer) -> None:
        keep_at = self._clock.monotonic()
        while True:
            for record in await consumer.poll(_BATCH, _POLL_S):
                self._settle(record.value)
                self._ends[record.partition] = record.offset + 1
            for partition in consumer.lost():
                self._ends.pop(partition, None)
            if self._clock.monotonic() >= keep_at:
                await self._keep(consumer)
                keep_at = self._clock.monotonic() + _KEEP_EVERY_S

    def _settle(self, value: bytes) -> None:
        # What is no result cannot settle anything; who wrote it has a problem of his own.
        with contextlib.suppress(msgspec.DecodeError):
            self._pending.settle(decode_result(value).payload_id)

    async def _keep(self, consumer: Consumer) -> None:
        snapshot, ends = self._snapshot(), dict(self._ends)
        if ends or snapshot != self._kept:
            await asyncio.to_thread(self._pending.write, snapshot)
            self._kept = snapshot
        if ends:
            await consumer.commit(ends)
            self._ends.clear()
        await asyncio.to_thread(self._pending.look_at_others)

    def _snapshot(self) -> bytes:
        return self._pending.snapshot(self._spool.id, self._spool.next_seq)
