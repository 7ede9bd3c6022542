"""Reading topics through a Faust agent, from where the windows are.

Faust keeps the membership, fetches and holds back. It keeps no table, and its commits only tell others how
far the windows are (docs/decisions/0011-windows-beside-their-offsets.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import faust
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types import TP
from faust.types.auth import CredentialsT

from weir_streams.errors import ConsumerFailedError
from weir_streams.kafka.settings import KafkaSettings, Security
from weir_streams.log import LogRecord, Partition
from weir_streams.windows.adding import Delivery

_COMMIT_EVERY_S: Final = 1.0
_STOP_WITHIN_S: Final = 10.0
_BUFFERED: Final = 4096

Places = Callable[[], Mapping[Partition, int]]
"""By partition, the offset to read on at."""


class FaustReader:
    """One member of a group of its own; its records stand in ``deliveries`` in order per partition.

    Args:
        settings: The cluster and the names in it.
        group: As the event path calls it.
        instance: This process's name; the same after a restart, so that it need not wait for a dead one.
        topics: They must exist.
        places: By partition, the offset to read on at; others are read from the earliest record.
        scratch: A directory for Faust, which writes nothing of value there.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        group: str,
        instance: str,
        topics: Sequence[str],
        places: Places,
        scratch: Path,
    ) -> None:
        self.deliveries: asyncio.Queue[Delivery] = asyncio.Queue(_BUFFERED)
        self._settings = settings
        self._app = _App(
            settings.group(group),
            places=lambda: {_tp(settings, partition): offset for partition, offset in places().items()},
            consumer_group_instance_id=instance,
            datadir=str(scratch),
            **_options(settings),
        )
        names = [settings.topic(topic) for topic in topics]
        source = self._app.topic(
            *names, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        self._app.agent(source, name="windows")(self._deliver)

    async def start(self) -> None:
        """Join; records begin to come some time later.

        Raises:
            ConsumerFailedError: Retryable by a new process; Kafka does not let it in.
        """
        try:
            await self._app.start()
        except KafkaError as error:
            raise ConsumerFailedError(f"the Faust app did not start: {error}") from error

    async def stop(self) -> None:
        """Leave. What was not taken from ``deliveries`` comes again at the next start."""
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                await self._app.stop()
        except TimeoutError:
            # It ends with the process, and nothing of value is in it.
            return

    def check(self) -> None:
        """Raise what made Faust give up.

        Raises:
            ConsumerFailedError: It has ended by itself.
        """
        if self._app.crashed:
            raise ConsumerFailedError(f"the Faust app ended: {self._app.crash_reason!r}")

    async def _deliver(self, stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            partition = Partition(self._settings.own_name(message.topic), str(message.partition))
            record = LogRecord(partition, message.offset, message.key or b"", message.value or b"")
            await self.deliveries.put(Delivery(record, event.ack))


class _Consumer(Consumer):
    """Begins where the windows are, whatever the group has committed."""

    async def seek_to_committed(self) -> Mapping[TP, int]:
        assert isinstance(self.app, _App)
        places = self.app.places()
        assigned = self.assignment()
        offsets = dict(await self.earliest_offsets(*assigned))
        for tp in assigned:
            offsets[tp] = max(offsets.get(tp, 0), places.get(tp, 0))
        await self.seek_wait(offsets)
        return offsets


class _Transport(Transport):
    Consumer: ClassVar[Any] = _Consumer


class _App(faust.App):
    def __init__(self, name: str, *, places: Callable[[], Mapping[TP, int]], **options: Any) -> None:
        self.places = places
        super().__init__(name, **options)

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)


def _options(settings: KafkaSettings) -> dict[str, Any]:
    client = settings.client_options()
    return {
        "broker": [f"kafka://{server}" for server in client["bootstrap_servers"]],
        "broker_credentials": _credentials(settings.security),
        "broker_client_id": client["client_id"],
        # Without it, a member that died holds its partitions for a minute.
        "broker_session_timeout": settings.session_timeout_s,
        "broker_heartbeat_interval": settings.session_timeout_s / 5,
        "broker_request_timeout": max(settings.request_timeout_s, settings.session_timeout_s),
        "broker_rebalance_timeout": settings.session_timeout_s,
        "broker_commit_interval": _COMMIT_EVERY_S,
        "stream_wait_empty": False,
        # There are no tables; with copies of some, an assignor of Faust's own would be used.
        "table_standby_replicas": 0,
        "store": "memory://",
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
        "autodiscover": False,
    }


def _credentials(security: Security) -> CredentialsT | None:
    context = security.tls_context()
    if security.uses_sasl:
        return SASLCredentials(
            username=security.username,
            password=security.password,
            ssl_context=context,
            mechanism=security.mechanism,
        )
    return SSLCredentials(context) if context is not None else None


def _tp(settings: KafkaSettings, partition: Partition) -> TP:
    return TP(settings.topic(partition.topic), int(partition.name))
