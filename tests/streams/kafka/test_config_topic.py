"""The configuration by way of a real Kafka: closed revisions, one leader at a time, half of nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from tests.streams.kafka.bench import kafka_settings
from tests.streams.support import ManualClock

from weir_core.clock import SystemClock
from weir_core.errors import SettingsError
from weir_core.objects import App, Llm
from weir_core.secrets import KeyRing
from weir_core.snapshot import Snapshot
from weir_streams.config_records import Assembly
from weir_streams.errors import ConfigUnreadableError, LogUnavailableError, TopicMissingError
from weir_streams.kafka.config_publisher import ConfigPublisher
from weir_streams.kafka.config_topic import EPOCH_HEADER, ConfigTopic, config_topic, namespace_of
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.kafka.topics import TopicOptions, open_topic_admin, planned_topics

pytestmark = pytest.mark.system

KEYS = KeyRing([bytes(32)])
APP = App(id=1, name="for all")
OURS = Llm(id=1, name="ours", slug="ours", vendor="openai", api_endpoint="http://x", namespace="team")


async def make_topics(settings: KafkaSettings, *namespaces: str) -> None:
    plan = planned_topics(settings, TopicOptions(partitions=1, namespaces=namespaces))
    config = [topic for topic in plan if namespace_of(settings.own_name(topic.name)) is not None]
    async with open_topic_admin(settings) as admin:
        assert len(await admin.apply(config)) == len(namespaces)


@pytest.fixture
async def settings(kafka: str) -> KafkaSettings:
    settings = kafka_settings(kafka)
    await make_topics(settings, "", "team")
    return settings


@pytest.fixture
async def publisher(settings: KafkaSettings) -> AsyncIterator[ConfigPublisher]:
    publisher = ConfigPublisher(settings, KEYS, SystemClock(), within_s=20)
    yield publisher
    await publisher.close()


async def newest(settings: KafkaSettings, namespace: str = "", keys: KeyRing = KEYS) -> Snapshot:
    async with asyncio.timeout(20):
        async for snapshot in ConfigTopic(settings, keys, namespace).follow():
            return snapshot
    raise AssertionError("follow ended")


@pytest.mark.parametrize("namespace", ["", "team", "a.b-c_d"])
def test_a_namespace_has_a_topic_of_its_own(namespace: str) -> None:
    assert namespace_of(config_topic(namespace)) == namespace


def test_a_name_that_no_topic_can_have_is_refused() -> None:
    with pytest.raises(SettingsError, match="WEIR_EDGE_NAMESPACE"):
        config_topic("a b")


async def test_each_namespace_gets_its_part_and_readers_follow(
    settings: KafkaSettings, publisher: ConfigPublisher
) -> None:
    await publisher.publish(Snapshot(1, [OURS, APP]), 1)
    assert (await newest(settings)).objects == (APP,)
    follower = ConfigTopic(settings, KEYS, "team").follow()
    assert (await anext(follower)).objects == (OURS, APP)
    await publisher.publish(Snapshot(2, [OURS]), 1)
    assert (await anext(follower)).objects == (OURS,)
    await follower.aclose()


async def test_a_new_publisher_begins_with_what_stands_in_the_topic_and_the_old_one_can_write_no_more(
    settings: KafkaSettings, publisher: ConfigPublisher
) -> None:
    await publisher.publish(Snapshot(1, [APP]), 1)
    successor = ConfigPublisher(settings, KEYS, SystemClock(), within_s=20)
    assert await successor.published() == (1, 1)
    with pytest.raises(LogUnavailableError):
        await publisher.publish(Snapshot(9, []), 1)
    await successor.publish(Snapshot(2, [OURS, APP]), 2)
    await successor.close()
    assert (await newest(settings)).revision == 2


async def test_half_a_revision_of_a_publisher_that_died_is_never_seen(
    settings: KafkaSettings, publisher: ConfigPublisher
) -> None:
    await publisher.publish(Snapshot(1, [APP]), 1)
    await publisher.close()
    dying = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, transactional_id=settings.group("weir.config")
    )
    await dying.start()
    await dying.begin_transaction()
    [half, _] = Assembly(KEYS, "").changes(Snapshot(2, [App(id=1, name="half")]), 1)
    headers = [(EPOCH_HEADER, b"1")]
    await dying.send_and_wait(settings.topic(config_topic("")), half.value, half.key, headers=headers)
    successor = ConfigPublisher(settings, KEYS, SystemClock(), within_s=20)
    await successor.publish(Snapshot(3, [APP]), 2)
    assert (await newest(settings)).objects == (APP,)
    assert (await newest(settings)).revision == 3
    await successor.close()
    await dying.client.close()
    await dying._sender.close()


async def test_a_topic_that_was_made_later_is_filled(settings: KafkaSettings) -> None:
    clock = ManualClock()
    publisher = ConfigPublisher(settings, KEYS, clock, within_s=20)
    await publisher.publish(Snapshot(1, [APP]), 1)
    assert not await publisher.is_behind()
    with pytest.raises(TopicMissingError, match="--namespace late"):
        await newest(settings, "late")
    await make_topics(settings, "late")
    assert not await publisher.is_behind()
    clock.advance(5)
    assert await publisher.is_behind()
    await publisher.publish(Snapshot(1, [APP]), 1)
    assert (await newest(settings, "late")).objects == (APP,)
    await publisher.close()


async def test_without_the_key_a_reader_says_so(settings: KafkaSettings, publisher: ConfigPublisher) -> None:
    await publisher.publish(Snapshot(1, [APP]), 1)
    with pytest.raises(ConfigUnreadableError, match="WEIR_ENCRYPTION_KEYS"):
        await newest(settings, keys=KeyRing([bytes(range(32))]))
