"""A real Kafka in KRaft mode: one process, or several brokers, that can be killed and started again."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]
from tests.support.ports import accepts, free_ports
from tests.support.servers.jars import class_path
from tests.support.servers.java import run_java, server_command
from tests.support.servers.process import ServerProcess

_JARS: Final = ("org.apache.kafka:kafka_2.13:4.4.0",)
_HEAP: Final = "256m"

# Small and quick: a broker that was killed may come back as soon as its old registration has expired.
_PROPERTIES: Final = {
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "default.replication.factor": "1",
    "num.partitions": "2",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "1000",
    "broker.heartbeat.interval.ms": "250",
    # Tests date their events as they like; what is old would be deleted at the next look, minutes later.
    "log.retention.ms": "-1",
    "log.segment.bytes": "16777216",
    "log.index.size.max.bytes": "1048576",
    "controlled.shutdown.enable": "false",
}


def kafka_jars() -> list[Path]:
    """Kafka's class path; downloads it the first time.

    Raises:
        ServerUnavailableError: It cannot be downloaded.
    """
    return class_path(*_JARS)


class KafkaServer:
    """Brokers on this machine, with data that survives their processes.

    The first broker is the controller as well. All methods block; in a test with an event loop call them
    through ``asyncio.to_thread``.

    Args:
        directory: Gets data and logs; made when absent.
        brokers: How many.
        properties: Added to, or put in place of, the brokers' own.
        listener: ``NAME:PROTOCOL`` of the listener that clients use, such as ``CLIENTS:SASL_SSL``; it needs
            ``properties`` of its own, and readiness is then asked over a plain listener beside it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        brokers: int = 1,
        properties: Mapping[str, str] | None = None,
        listener: str | None = None,
    ) -> None:
        self._directory = directory
        self._cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        self._listener = listener
        self._properties = dict(properties or {})
        ports = free_ports(1 + 2 * brokers)
        self._controller = f"127.0.0.1:{ports[0]}"
        self._plain_ports = ports[1 : 1 + brokers]
        self._client_ports = ports[1 + brokers :] if listener else self._plain_ports
        self._brokers = [
            ServerProcess(f"Kafka broker {number}", directory / f"broker-{number}.log")
            for number in range(1, brokers + 1)
        ]

    @property
    def bootstrap_servers(self) -> str:
        """What clients connect to."""
        return ",".join(f"127.0.0.1:{port}" for port in self._client_ports)

    def start(self) -> None:
        """Start every broker that does not run, on the data it had, and wait until all serve."""
        for number in range(1, len(self._brokers) + 1):
            if not self._brokers[number - 1].is_running:
                self._launch(number)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until every running broker is a member of the cluster."""
        running = [broker for broker in self._brokers if broker.is_running]
        for broker in running:
            broker.wait_ready(lambda: self._members() >= len(running))

    def kill(self, number: int = 1) -> None:
        """SIGKILL one broker."""
        self._brokers[number - 1].kill()

    def stop(self) -> None:
        """End all brokers; what they hold does not matter any more."""
        for broker in self._brokers:
            broker.kill()

    def _launch(self, number: int) -> None:
        home = self._directory / f"broker-{number}"
        config = self._directory / f"broker-{number}.properties"
        jars = kafka_jars()
        if not home.exists():
            self._directory.mkdir(parents=True, exist_ok=True)
            lines = [f"{name}={value}" for name, value in self._broker_properties(number, home).items()]
            config.write_text("\n".join(lines))
            run_java(
                jars,
                "kafka.tools.StorageTool",
                "format",
                f"--cluster-id={self._cluster_id}",
                "-c",
                str(config),
            )
        self._brokers[number - 1].start([*server_command(jars, "kafka.Kafka", _HEAP), str(config)])

    def _broker_properties(self, number: int, home: Path) -> dict[str, str]:
        listeners = [f"PLAIN://127.0.0.1:{self._plain_ports[number - 1]}"]
        protocols = ["PLAIN:PLAINTEXT", "CONTROLLER:PLAINTEXT"]
        if self._listener:
            name = self._listener.partition(":")[0]
            listeners.append(f"{name}://127.0.0.1:{self._client_ports[number - 1]}")
            protocols.append(self._listener)
        advertised = list(listeners)
        if number == 1:
            listeners.append(f"CONTROLLER://{self._controller}")
        return {
            **_PROPERTIES,
            "node.id": str(number),
            "process.roles": "broker,controller" if number == 1 else "broker",
            "controller.quorum.voters": f"1@{self._controller}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAIN",
            "listeners": ",".join(listeners),
            "advertised.listeners": ",".join(advertised),
            "listener.security.protocol.map": ",".join(protocols),
            "log.dirs": str(home),
            **self._properties,
        }

    def _members(self) -> int:
        plain = [f"127.0.0.1:{port}" for port in self._plain_ports if accepts(port)]
        if not plain:
            return 0
        # In a thread of its own, since the caller's may have an event loop that runs.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, _count_brokers(plain)).result()


async def _count_brokers(bootstrap_servers: Sequence[str]) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(bootstrap_servers), request_timeout_ms=2000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        return len(cluster["brokers"]) if cluster["controller_id"] >= 0 else 0
    except (KafkaError, OSError):
        return 0
    finally:
        await admin.close()
