"""Windows and alerts on their way to Kafka: what has changed, and only what was committed.

A message whose acknowledgement was lost is sent again. That does no harm: the last value of a window's key
counts, and an alert keeps its id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from weir_core.clock import Clock
from weir_core.ids import new_id
from weir_streams.errors import DeliveryError
from weir_streams.events import ALERT_TOPIC, SPEND_TOPIC
from weir_streams.kafka.publisher import Outgoing, Publisher
from weir_streams.log import Partition
from weir_streams.windows.judging import Judge, Kept
from weir_streams.windows.messages import ALERT_TYPE, SPEND_TYPE, headers, spend_key, spend_value
from weir_streams.windows.store import Call, Window, WindowStore
from weir_streams.windows.sums import WindowKey

_MOST: Final = 2000

Connect = Callable[[], Awaitable[Publisher]]


class Outbox:
    """Publishes what a store says is to be published.

    Args:
        store: Where windows are.
        judge: Where alerts are.
        connect: Opens a producer.
        call: Runs a blocking call of the store.
        clock: The time of messages.
    """

    def __init__(
        self, store: WindowStore, judge: Judge, *, connect: Connect, call: Call, clock: Clock
    ) -> None:
        self._store = store
        self._judge = judge
        self._connect = connect
        self._call = call
        self._clock = clock
        self._publisher: Publisher | None = None

    async def publish_windows(self) -> int:
        """Send windows that have changed, the oldest first; return how many.

        Raises:
            DeliveryError: Retryable; Kafka did not take them.
            LogUnavailableError: Retryable; Kafka cannot be reached.
        """
        windows = await self._call(self._store.unpublished, _MOST)
        if windows:
            await self._send([self._window(window) for window in windows])
            await self._call(self._store.published, windows)
        return len(windows)

    async def publish_alerts(self) -> None:
        """Send alerts that were not sent. Raises as ``publish_windows``."""
        alerts = await self._call(self._judge.waiting, "published")
        if alerts:
            await self._send([self._alert(kept) for kept in alerts])
            await self._call(self._judge.arrived, "published", alerts)

    async def take_out(self, horizon_s: int) -> None:
        """Remove some windows that are not kept any longer, here and on the topic.

        Raises as ``publish_windows``.
        """
        keys = await self._call(self._store.fallen, horizon_s, _MOST)
        if keys:
            await self._send([self._spend(key, None) for key in keys])
            await self._call(self._store.forget, keys, horizon_s)

    async def close(self) -> None:
        """Close the producer; what was not acknowledged is sent again at the next start."""
        if self._publisher is not None:
            await self._publisher.abandon()
            self._publisher = None

    async def _send(self, messages: Sequence[Outgoing]) -> None:
        try:
            if self._publisher is None:
                self._publisher = await self._connect()
            for batch in await self._publisher.send(messages):
                await batch.acknowledged()
        except DeliveryError:
            await self.close()
            raise

    def _window(self, window: Window) -> Outgoing:
        return self._spend(window.key, spend_value(window.key, window.sums, self._store.length_s))

    def _spend(self, key: WindowKey, value: bytes | None) -> Outgoing:
        name = spend_key(key, self._store.length_s)
        return self._outgoing(SPEND_TOPIC, SPEND_TYPE, name, value, message_id=new_id())

    def _alert(self, kept: Kept) -> Outgoing:
        alert = kept.alert
        key = f"{alert.scope}/{alert.scope_id}".encode()
        return self._outgoing(ALERT_TOPIC, ALERT_TYPE, key, kept.value, message_id=alert.alert_id)

    def _outgoing(
        self, topic: str, kind: str, key: bytes, value: bytes | None, *, message_id: str
    ) -> Outgoing:
        now_us = self._clock.wall_us()
        return Outgoing(
            source=Partition(topic, ""),
            seq=0,
            key=key,
            value=value,
            headers=headers(kind, message_id, key.decode(), now_us),
            timestamp_ms=now_us // 1000,
        )
