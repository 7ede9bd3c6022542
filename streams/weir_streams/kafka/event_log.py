"""``EventLog`` on Kafka: a factory of group members."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]
from aiokafka.coordinator.assignors.sticky.sticky_assignor import (  # type: ignore[import-untyped]
    StickyPartitionAssignor,
)

from weir_core.clock import Clock
from weir_core.errors import InvalidInputError
from weir_streams.kafka.consumer import KafkaConsumer
from weir_streams.kafka.reaching import reach
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.log import Partition
from weir_streams.reports import Logger


class KafkaEventLog:
    """Consumers of one process.

    Args:
        settings: The cluster and the names in it.
        clock: Paces waiting.
        logger: Told of rebalances and of records that were missing.
        instance: Names this process among those of its groups, the same after a restart and never shared by
            two that run: it then finds its partitions as it left them (static membership). None leaves the
            group at each end.
    """

    def __init__(
        self, settings: KafkaSettings, *, clock: Clock, logger: Logger, instance: str | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._logger = logger
        self._instance = instance
        self._members: dict[str, dict[int, KafkaConsumer]] = {}

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: Mapping[Partition, int] | None = None
    ) -> KafkaConsumer:
        """Join ``group``, beside its other members. A new group starts at the earliest record that is kept.

        With ``start`` the partitions that this member is given first are read from there. Those that it takes
        over later are read from where the group has committed, so such a group commits as well.

        Raises:
            TopicMissingError: Retryable; a topic does not exist.
            KafkaRefusedError: Wrong credentials or missing rights.
            LogUnavailableError: Retryable; the brokers cannot be reached.
            InvalidInputError: No topics.
        """
        if not topics:
            raise InvalidInputError(f"group {group} needs at least one topic", field="topics")
        number, client = await self._client(group)
        consumer = KafkaConsumer(client, self._settings, tuple(topics), start, self._clock, self._logger)
        self._members.setdefault(group, {})[number] = consumer
        try:
            await consumer.join()
        except BaseException:
            await consumer.close()
            raise
        return consumer

    async def close(self) -> None:
        """Nothing is held here: each consumer has connections of its own."""

    async def _client(self, group: str) -> tuple[int, AIOKafkaConsumer]:
        options = await reach(self._settings)
        living = {number for number, member in self._members.get(group, {}).items() if not member.is_closed}
        number = next(number for number in itertools.count() if number not in living)
        client = AIOKafkaConsumer(
            **options,
            **self._settings.member_options(),
            group_id=self._settings.group(group),
            group_instance_id=f"{self._instance}.{number}" if self._instance else None,
            partition_assignment_strategy=(_own_assignor(),),
        )
        return number, client


def _own_assignor() -> type[StickyPartitionAssignor]:
    """The client keeps an assignor's memory on its class; groups of one process must not share it."""
    return type("WeirStickyAssignor", (StickyPartitionAssignor,), {})
