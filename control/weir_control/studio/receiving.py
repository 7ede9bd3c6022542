"""From the log into the inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import Final

import msgspec

from weir_collectors.backoff import Backoff
from weir_control.studio.inbox import Arrival, Inbox, Lane
from weir_core.clock import parse_rfc3339
from weir_core.errors import WeirError
from weir_streams.log import Consumer, EventLog, LogRecord
from weir_streams.payloads import EDGE_PAYLOAD_TOPIC, PAYLOAD_GROUP, decode_payload
from weir_streams.reports import Logger

_BATCH: Final = 200
_POLL_S: Final = 0.5
_BACKOFF: Final = Backoff(first_s=0.1, longest_s=5.0)

Sleep = Callable[[float], Awaitable[None]]


class Receiving:
    """Takes payloads in; their offsets are committed once the database has them.

    Args:
        log: Where they come from; its owner closes it.
        inbox: Where they go.
        arrived: Told which lanes have new ones.
        logger: Told of what is no payload, and of outages.
        sleep: Waits between attempts.
    """

    def __init__(
        self,
        log: EventLog,
        inbox: Inbox,
        arrived: Callable[[Collection[Lane]], None],
        *,
        logger: Logger,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._log = log
        self._inbox = inbox
        self._arrived = arrived
        self._logger = logger
        self._sleep = sleep

    async def run(self) -> None:
        """Receive until cancelled."""
        failures = 0
        while True:
            try:
                consumer = await self._log.consumer(PAYLOAD_GROUP, (EDGE_PAYLOAD_TOPIC,))
                try:
                    while True:
                        await self.receive(consumer)
                        failures = 0
                finally:
                    await consumer.close()
            except (WeirError, OSError) as error:
                failures += 1
                self._logger.warning("edge payloads cannot be received", reason=str(error))
                await self._sleep(_BACKOFF.after(failures))

    async def receive(self, consumer: Consumer) -> None:
        """Take one batch in.

        Raises:
            WeirError: The log or the database is away; the batch comes again from a new consumer.
        """
        records = await consumer.poll(_BATCH, _POLL_S)
        lost = consumer.lost()
        records = [record for record in records if record.partition not in lost]
        if not records:
            return
        self._arrived(await self._inbox.take_in(list(self._read(records))))
        await consumer.commit({record.partition: record.offset + 1 for record in records})

    def _read(self, records: Sequence[LogRecord]) -> Iterator[Arrival]:
        for record in records:
            try:
                payload = decode_payload(record.value)
                payload.content()
                yield Arrival(payload, parse_rfc3339(payload.timestamp), record.value)
            except (msgspec.DecodeError, ValueError) as error:
                # Only somebody else can have written it: there is no sender that waits for a result.
                self._logger.warning(
                    "not an edge payload",
                    partition=record.partition.name,
                    offset=record.offset,
                    reason=str(error),
                )
