"""Encrypted connections and user names, on a broker that insists on both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.streams.kafka.bench import kafka_settings
from tests.streams.support import RecordingLogger
from tests.support.certificates import Authority
from tests.support.servers.kafka import KafkaServer

from weir_core.clock import SystemClock
from weir_core.errors import SettingsError
from weir_core.objects import App
from weir_core.secrets import KeyRing
from weir_core.snapshot import Snapshot
from weir_streams.errors import KafkaRefusedError, LogUnavailableError
from weir_streams.events import ANALYTICS_TOPIC, EVENT_TOPICS
from weir_streams.kafka.config_publisher import ConfigPublisher
from weir_streams.kafka.config_topic import ConfigTopic, namespace_of
from weir_streams.kafka.event_log import KafkaEventLog
from weir_streams.kafka.publisher import Outgoing, Publisher
from weir_streams.kafka.settings import KafkaSettings, RelaySettings, Security
from weir_streams.kafka.topics import TopicOptions, open_topic_admin, planned_topics
from weir_streams.log import Partition
from weir_streams.windows.faust_reader import FaustReader

PASSWORD = "a password of the tests"


class SecureBroker:
    """Where it is, and what a client needs to be let in."""

    def __init__(self, bootstrap_servers: str, ca_file: Path) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.ca_file = str(ca_file)

    def settings(self, **changes: Any) -> KafkaSettings:
        security = {
            "protocol": "SASL_SSL",
            "ca_file": self.ca_file,
            "mechanism": "PLAIN",
            "username": "weir",
            "password": PASSWORD,
            **changes,
        }
        return kafka_settings(self.bootstrap_servers, security=Security(**security), request_timeout_s=5.0)


@pytest.fixture(scope="module")
def broker(kafka_programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    directory = tmp_path_factory.mktemp("secure-kafka")
    authority = Authority(directory / "certificates")
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    server = KafkaServer(
        directory,
        listener="CLIENTS:SASL_SSL",
        properties={
            "listener.name.clients.ssl.keystore.type": "PEM",
            "listener.name.clients.ssl.keystore.location": str(authority.issue("broker")),
            "listener.name.clients.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.clients.plain.sasl.jaas.config": f'{login} user_weir="{PASSWORD}";',
        },
    )
    try:
        server.start()
        yield SecureBroker(server.bootstrap_servers, authority.ca_file)
    finally:
        server.stop()


@pytest.mark.system
async def test_topics_producers_and_consumers_get_in_with_the_right_password(broker: SecureBroker) -> None:
    settings = broker.settings()
    async with open_topic_admin(settings) as admin:
        assert await admin.apply(planned_topics(settings, TopicOptions(partitions=1)))
    publisher = await Publisher.open(settings, RelaySettings())
    await publisher.abandon()
    log = KafkaEventLog(settings, clock=SystemClock(), logger=RecordingLogger())
    consumer = await log.consumer("group", EVENT_TOPICS)
    assert sum((await consumer.lag()).values()) == 0
    await consumer.close()


@pytest.mark.system
async def test_faust_gets_in_with_them_too(broker: SecureBroker, tmp_path: Path) -> None:
    settings = broker.settings()
    async with open_topic_admin(settings) as admin:
        await admin.apply(planned_topics(settings, TopicOptions(partitions=1)))
    publisher = await Publisher.open(settings, RelaySettings())
    record = Outgoing(Partition(ANALYTICS_TOPIC, ""), 1, b"key", b"value", [], 0)
    for batch in await publisher.send([record]):
        await batch.acknowledged()
    await publisher.abandon()
    reader = FaustReader(
        settings, group="group", instance="here", topics=[ANALYTICS_TOPIC], places=dict, scratch=tmp_path
    )
    await reader.start()
    delivery = await asyncio.wait_for(reader.deliveries.get(), 60)
    assert (delivery.record.key, delivery.record.value) == (b"key", b"value")
    await reader.stop()


@pytest.mark.system
async def test_each_new_leader_publishes_to_many_namespaces_within_its_deadline(broker: SecureBroker) -> None:
    settings, keys, app = broker.settings(), KeyRing([bytes(32)]), App(id=1, name="for all")
    plan = planned_topics(settings, TopicOptions(partitions=1, namespaces=("", "a", "b", "c")))
    async with open_topic_admin(settings) as admin:
        await admin.apply([one for one in plan if namespace_of(settings.own_name(one.name)) is not None])
    for epoch in range(1, 4):
        leader = ConfigPublisher(settings, keys, SystemClock())
        await leader.publish(Snapshot(epoch, [app]), epoch)
        await leader.close()
    found = (await ConfigTopic(settings, keys, "c").read()).closed
    assert found is not None
    assert (found.revision, found.objects) == (3, (app,))


@pytest.mark.system
async def test_a_wrong_password_is_said_to_be_one(broker: SecureBroker) -> None:
    with pytest.raises(KafkaRefusedError, match=r"check kafka\.security_protocol, kafka\.sasl_"):
        await Publisher.open(broker.settings(password="wrong"), RelaySettings())


@pytest.mark.system
@pytest.mark.parametrize(
    ("protocol", "wanted"), [("PLAINTEXT", "SSL or SASL_SSL"), ("SASL_PLAINTEXT", "SASL_SSL")]
)
async def test_plain_talk_to_a_port_that_speaks_tls_is_said_to_be_that(
    broker: SecureBroker, protocol: str, wanted: str
) -> None:
    plain: dict[str, Any] = {"protocol": protocol, "ca_file": None}
    if protocol == "PLAINTEXT":
        plain |= {"username": None, "password": None}
    with pytest.raises(LogUnavailableError, match=f"speaks TLS and .* is {protocol}; set it to {wanted}"):
        await Publisher.open(broker.settings(**plain), RelaySettings())


@pytest.mark.system
async def test_a_certificate_of_another_authority_is_not_trusted(
    broker: SecureBroker, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    with pytest.raises(LogUnavailableError, match=r"certificate verify failed"):
        await Publisher.open(broker.settings(ca_file=str(stranger.ca_file)), RelaySettings())


@pytest.mark.parametrize(
    ("security", "complaint"),
    [
        ({"protocol": "SASL_SSL"}, r"it needs kafka\.sasl_username and kafka\.sasl_password"),
        ({"username": "weir", "password": "x"}, r"kafka\.sasl_username is set but .* is PLAINTEXT"),
        ({"ca_file": "/ca.pem"}, r"kafka\.ssl_\* files are set but .* is PLAINTEXT"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(security: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        Security(**security)


def test_a_certificate_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(SettingsError, match=r"kafka\.ssl_ca_file .*missing\.pem cannot be used"):
        Security(protocol="SSL", ca_file=missing).tls_context()
    with pytest.raises(SettingsError, match=r"kafka\.ssl_certificate_file .*missing\.pem"):
        Security(protocol="SSL", certificate_file=missing).tls_context()
