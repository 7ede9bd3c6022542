"""The topics: made once, compared, changed where they differ, never taken from."""

from __future__ import annotations

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from tests.streams.kafka.bench import kafka_settings

from weir_streams.errors import LogUnavailableError
from weir_streams.events import EVENT_TOPICS
from weir_streams.kafka.acls import least_rights
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.kafka.topics import Difference, TopicOptions, open_topic_admin, planned_topics

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
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(settings.topic("weir.spend.v1"), 1, 1)])
    await admin.close()
    await apply(settings)
    assert await differences(settings) == []


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
