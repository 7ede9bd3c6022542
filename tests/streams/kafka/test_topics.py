"""The topics: made once, compared, changed where they differ, never taken from."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidConfigurationError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from tests.streams.kafka.bench import admin_client, kafka_settings

from weir_streams.errors import KafkaRefusedError, LogUnavailableError
from weir_streams.events import EVENT_TOPICS
from weir_streams.kafka.acls import least_rights
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.kafka.topic_configs import set_configs
from weir_streams.kafka.topics import (
    Difference,
    TopicAdmin,
    TopicOptions,
    open_topic_admin,
    planned_topics,
)

SMALL = TopicOptions(partitions=2, replication_factor=1)


async def apply(settings: KafkaSettings, options: TopicOptions = SMALL) -> list[Difference]:
    async with open_topic_admin(settings) as admin:
        return await admin.apply(planned_topics(settings, options))


async def differences(settings: KafkaSettings, options: TopicOptions = SMALL) -> list[Difference]:
    async with open_topic_admin(settings) as admin:
        return await admin.differences(planned_topics(settings, options))


@pytest.mark.system
async def test_missing_topics_are_made_and_a_second_run_finds_nothing_to_do(kafka: str) -> None:
    settings = kafka_settings(kafka)
    made = await apply(settings)
    assert {one.topic for one in made} == {topic.name for topic in planned_topics(settings, SMALL)}
    assert {str(one).partition(": ")[2] for one in made} == {"does not exist"}
    assert {one.mended.partition(": ")[2] for one in made} == {
        "made with 1 partitions",
        "made with 2 partitions",
    }
    assert await apply(settings) == []


@pytest.mark.system
async def test_what_differs_is_said_and_mended(kafka: str) -> None:
    settings = kafka_settings(kafka)
    await apply(settings)
    wanted = msgspec.structs.replace(SMALL, partitions=3, analytics_ms=60_000)
    told = [str(one) for one in await differences(settings, wanted)]
    assert f"{settings.topic('weir.analytics.v1')}: retention.ms is 2592000000, should be 60000" in told
    assert f"{settings.topic('weir.proxy-log.v1')}: partitions is 2, should be 3" in told
    await apply(settings, wanted)
    assert await differences(settings, wanted) == []


@pytest.mark.system
async def test_partitions_are_never_taken_away(kafka: str) -> None:
    settings = kafka_settings(kafka)
    await apply(settings)
    fewer = msgspec.structs.replace(SMALL, partitions=1)
    await apply(settings, fewer)
    left = await differences(settings, fewer)
    assert {one.note for one in left} == {"partitions are never taken away"}


@pytest.mark.system
async def test_a_topic_that_was_made_by_hand_is_brought_into_shape(kafka: str) -> None:
    settings = kafka_settings(kafka)
    async with admin_client(settings) as admin:
        await admin.create_topics([NewTopic(settings.topic("weir.spend.v1"), 1, 1)])
    await apply(settings)
    assert await differences(settings) == []


@pytest.mark.system
async def test_what_an_operator_has_set_on_a_topic_stays(kafka: str) -> None:
    settings = kafka_settings(kafka)
    await apply(settings)
    topic = settings.topic("weir.analytics.v1")
    own = {"segment.ms": "3600000", "compression.type": "zstd"}
    async with admin_client(settings) as admin:
        await set_configs(admin._client, topic, own)
    await apply(settings, msgspec.structs.replace(SMALL, analytics_ms=60_000))
    async with admin_client(settings) as admin:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict.fromkeys(own, ""))
        [answer] = await admin.describe_configs([resource])
    assert {entry[0]: entry[1] for entry in answer.resources[0][4]} == own


@pytest.mark.system
async def test_a_value_that_the_brokers_refuse_is_named(kafka: str) -> None:
    settings = kafka_settings(kafka)
    await apply(settings)
    with pytest.raises(KafkaRefusedError, match=r"weir\.analytics\.v1.*retention\.ms"):
        await apply(settings, msgspec.structs.replace(SMALL, analytics_ms=-5))


@pytest.mark.system
async def test_more_copies_than_there_are_brokers_is_said_to_be_that(kafka: str) -> None:
    with pytest.raises(
        KafkaRefusedError, match=r"replication_factor must not be above the number of brokers"
    ):
        await apply(kafka_settings(kafka), msgspec.structs.replace(SMALL, replication_factor=40))


async def test_a_topic_that_may_not_be_looked_at_is_no_missing_one() -> None:
    class Forbidden:
        async def describe_topics(self, topics: list[str]) -> list[dict[str, object]]:
            code = TopicAuthorizationFailedError.errno
            return [{"topic": topic, "error_code": code, "partitions": []} for topic in topics]

    plan = planned_topics(KafkaSettings(bootstrap_servers="unused"), SMALL)
    with pytest.raises(KafkaRefusedError, match=r"weir\.proxy-log\.v1"):
        await TopicAdmin(Forbidden()).apply(plan)


async def test_a_broker_before_the_bounds_of_timestamps_gets_topics_without_them() -> None:
    made: dict[str, dict[str, str]] = {}

    class Answer(NamedTuple):
        topic_errors: list[tuple[str, int, str]]

    class OldBroker:
        async def describe_topics(self, topics: list[str]) -> list[dict[str, object]]:
            return [{"topic": topic, "error_code": UnknownTopicOrPartitionError.errno} for topic in topics]

        async def create_topics(self, topics: list[NewTopic]) -> Answer:
            [topic] = topics
            unknown = any(name.startswith("message.timestamp") for name in topic.topic_configs)
            if not unknown:
                made[topic.name] = topic.topic_configs
            return Answer([(topic.name, InvalidConfigurationError.errno if unknown else 0, "")])

    plan = planned_topics(KafkaSettings(bootstrap_servers="unused"), SMALL)
    await TopicAdmin(OldBroker()).apply(plan)
    assert set(made) == {topic.name for topic in plan}
    assert all("max.message.bytes" in configs for configs in made.values())


async def test_brokers_that_are_away_are_a_retryable_error() -> None:
    with pytest.raises(LogUnavailableError):
        await differences(KafkaSettings(bootstrap_servers="127.0.0.1:1"))


def test_an_event_of_the_largest_size_fits_its_topic() -> None:
    for topic in planned_topics(KafkaSettings(bootstrap_servers="unused"), TopicOptions()):
        assert int(topic.configs["max.message.bytes"]) > 1024 * 1024


@pytest.mark.parametrize(("copies", "least"), [(None, "1"), (1, "1"), (3, "2")])
def test_one_copy_may_be_away_while_events_are_written(copies: int | None, least: str) -> None:
    options = TopicOptions(replication_factor=copies)
    plan = planned_topics(KafkaSettings(bootstrap_servers="unused"), options)
    assert {topic.configs["min.insync.replicas"] for topic in plan} == {least}


def test_the_relay_may_write_the_event_topics_and_read_none() -> None:
    rights = least_rights(KafkaSettings(bootstrap_servers="unused", prefix="eu."))
    relay = [right for right in rights if right.role == "relay"]
    assert {"eu." + topic for topic in EVENT_TOPICS} <= {right.name for right in relay}
    assert "Read" not in {right.operation for right in relay}


def test_a_host_whose_clock_takes_local_time_for_utc_is_within_the_topics_bounds() -> None:
    for topic in planned_topics(KafkaSettings(bootstrap_servers="unused"), TopicOptions()):
        assert int(topic.configs["message.timestamp.after.max.ms"]) > 14 * 3600 * 1000
        assert int(topic.configs["message.timestamp.before.max.ms"]) == 2**63 - 1
