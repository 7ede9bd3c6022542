"""What ``weir doctor`` says of a real Kafka."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from tests.cli.conftest import Weir

from weir_cli.doctor_findings import Level
from weir_cli.doctor_kafka import group_lags, lag_finding
from weir_core.clock import SystemClock
from weir_streams.events import ANALYTICS_TOPIC
from weir_streams.kafka.settings import KafkaSettings


@pytest.fixture
def cluster(kafka: str, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    """An installation's own names in the shared cluster, given in the environment."""
    settings = KafkaSettings(bootstrap_servers=kafka, prefix=f"doctor-{uuid.uuid4().hex[:8]}-")
    monkeypatch.setenv("WEIR_KAFKA_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("WEIR_KAFKA_PREFIX", settings.prefix)
    monkeypatch.setenv("WEIR_KAFKA_PARTITIONS", "1")
    return settings


async def events_and_a_group(settings: KafkaSettings, group: str = "weir.accountant") -> TopicPartition:
    """Three events in a topic, one of which a group has committed."""
    place = TopicPartition(settings.topic(ANALYTICS_TOPIC), 0)
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        for _ in range(3):
            await producer.send_and_wait(place.topic, b"{}", partition=0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        group_id=settings.group(group),
        enable_auto_commit=False,
    )
    await consumer.start()
    consumer.assign([place])
    await consumer.commit({place: 1})
    await consumer.stop()
    return place


@pytest.mark.usefixtures("cluster")
def test_topics_that_are_missing_are_wrong_until_they_are_applied(weir: Weir) -> None:
    code, out, _ = weir("doctor")
    assert code == 1
    assert "weir topics apply" in out
    weir("topics", "apply")
    code, out, _ = weir("doctor", "--json")
    assert code == 0, [one for one in json.loads(out)["findings"] if one["level"] == "wrong"]


async def test_a_groups_lag_is_told_without_joining_it(cluster: KafkaSettings, weir: Weir) -> None:
    await asyncio.to_thread(weir, "topics", "apply")
    place = await events_and_a_group(cluster)
    now_ms = SystemClock().wall_us() // 1000
    for retention_ms, late in ((3_600_000, False), (-3_600_000, True)):
        (lag,) = await group_lags(cluster, {place.topic: retention_ms}, now_ms)
        assert (lag.topic, lag.events, lag.late, lag.retired) == (place.topic, 2, late, False)


async def test_what_a_process_that_is_gone_has_not_read_is_not_wrong(
    cluster: KafkaSettings, weir: Weir
) -> None:
    await asyncio.to_thread(weir, "topics", "apply")
    place = await events_and_a_group(cluster, "weir.edge-results.old-host-proxy-0")
    # Before half of the retention, by which any other group would be late.
    (lag,) = await group_lags(cluster, {place.topic: -3_600_000}, SystemClock().wall_us() // 1000)
    assert (lag.events, lag.retired) == (2, True)
    finding = lag_finding(lag)
    assert finding.level is Level.NOTE
    assert "its process is away" in finding.what
