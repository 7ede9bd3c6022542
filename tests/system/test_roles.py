"""Control and proxies as roles of their own: two replicas, a proxy without a database, and what is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.streams.kafka.bench import kafka_settings
from tests.support.gateway import Gateway, eventually
from tests.support.kafka_topics import arrived
from tests.support.roles import RoleProcess
from tests.support.servers.kafka import KafkaServer

from weir_cli.mock_upstream.process import DEFAULT_KEY, RunningMock
from weir_core.secrets import KeyRing
from weir_streams.events import PROXY_LOG_TOPIC
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.kafka.topics import TopicOptions, open_topic_admin, planned_topics

pytestmark = [pytest.mark.system, pytest.mark.crash, pytest.mark.timeout(300)]

CHAT = "/llm/call/gpt/v1/chat/completions"
QUESTION = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def broker(kafka_programs: None, tmp_path: Path) -> Iterator[KafkaServer]:
    """A Kafka of this test's own, to be killed."""
    server = KafkaServer(tmp_path / "kafka")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass
class Installation:
    """Two control processes and a collectors process on one Postgres, and a proxy that knows it not."""

    controls: list[Gateway]
    proxy: Gateway
    collectors: RoleProcess
    kafka: KafkaSettings
    secret: str = ""

    async def write(self, control: Gateway, method: str, resource: str, **fields: Any) -> dict[str, Any]:
        answer = await control.api.request(method, f"/api/v1/{resource}", json=fields)
        assert answer.is_success, answer.text
        await self.proxy.applied(int(answer.headers["x-weir-revision"]))
        data: dict[str, Any] = answer.json()["data"]
        return data

    async def ask(self) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.secret}"}
        return await self.proxy.api.post(CHAT, json=QUESTION, headers=headers)

    async def leader(self) -> Gateway:
        """The one control process that says that it leads."""
        found: list[Gateway] = []

        async def there_is_one() -> bool:
            found[:] = [control for control in self.controls if await leads(control)]
            return len(found) == 1

        await eventually(there_is_one, "one control process leads")
        return found[0]


async def leads(control: Gateway) -> bool:
    metrics = await control.api.get("/metrics")
    return "weir_control_leading 1.0" in metrics.text


@pytest.fixture
async def installation(
    broker: KafkaServer, migrated_postgres: str, upstream: RunningMock, tmp_path: Path
) -> AsyncIterator[Installation]:
    kafka = kafka_settings(broker.bootstrap_servers)
    async with open_topic_admin(kafka) as admin:
        await admin.apply(planned_topics(kafka, TopicOptions(partitions=1)))
    shared = {
        "encryption_keys": KeyRing.generate_key(),
        "kafka_bootstrap_servers": kafka.bootstrap_servers,
        "kafka_prefix": kafka.prefix,
    }
    async with AsyncExitStack() as opened:
        controls = [
            Gateway(tmp_path / name, command="control", database_url=migrated_postgres, **shared)
            for name in ("control-a", "control-b")
        ]
        for control in controls:
            opened.push_async_callback(control.close)
        await asyncio.gather(*(control.start() for control in controls))
        token = await controls[0].api.post(
            "/api/v1/tokens", json={"name": "edge", "role": "edge", "namespaces": [""]}
        )
        proxy = Gateway(
            tmp_path / "proxy",
            command="proxy",
            edge_id="far-away",
            control_url=controls[0].url,
            edge_token=token.json()["data"]["secret"],
            **shared,
        )
        opened.push_async_callback(proxy.close)
        collectors = RoleProcess("collect", tmp_path / "collect", database_url=migrated_postgres, **shared)
        opened.push_async_callback(collectors.close)
        await asyncio.gather(proxy.start(), collectors.start())
        made = Installation(controls, proxy, collectors, kafka)
        await configure(made, upstream)
        yield made


async def configure(installation: Installation, upstream: RunningMock) -> None:
    """An LLM, an app and its credential, each through another control process."""
    one, two = installation.controls
    fields = {"vendor": "openai", "api_endpoint": upstream.url, "api_key": DEFAULT_KEY}
    llm = await installation.write(one, "POST", "llms", name="gpt", slug="gpt", **fields)
    app = await installation.write(two, "POST", "apps", name="app", llm_ids=[llm["id"]])
    credential = await installation.write(one, "POST", f"apps/{app['id']}/credentials", name="test")
    installation.secret = credential["secret"]


async def test_a_proxy_without_a_database_serves_on_whoever_is_killed(
    installation: Installation, broker: KafkaServer
) -> None:
    answers = [await installation.ask()]
    await seen_by(installation.controls, installation.proxy)
    assert (await installation.proxy.api.get("/api/v1/llms")).status_code == 404
    leader = await installation.leader()
    await leader.kill_everything()
    [survivor] = [control for control in installation.controls if control is not leader]
    [record] = await survivor.recorded("proxy-logs", 1)
    assert (record["request_id"], record["edge_id"]) == (answers[0].headers["x-request-id"], "far-away")
    await installation.write(survivor, "PATCH", "apps/1", is_active=False)
    assert (await installation.ask()).status_code == 403
    await installation.write(survivor, "PATCH", "apps/1", is_active=True)
    answers.append(await installation.ask())
    await survivor.kill_everything()
    await asyncio.to_thread(broker.kill)
    await installation.proxy.kill_everything()
    await installation.proxy.start()
    answers.append(await installation.ask())
    assert {answer.status_code for answer in answers} == {200}
    await asyncio.to_thread(broker.start)
    await delivered(installation.kafka, {answer.headers["x-request-id"] for answer in answers})
    assert await installation.proxy.stop() == 0


async def seen_by(controls: list[Gateway], proxy: Gateway) -> None:
    """Every control process knows of the proxy, whichever it reports to."""
    revision = (await proxy.api.get("/ready")).json()["revision"]

    async def known() -> bool:
        seen = [(await control.api.get("/api/v1/proxies")).json()["data"] for control in controls]
        rows = [[(one["edge_id"], one["applied_revision"], one["stale"]) for one in page] for page in seen]
        return rows == [[("far-away", revision, False)]] * len(controls)

    await eventually(known, "the proxy has reported")


async def delivered(kafka: KafkaSettings, request_ids: set[str]) -> None:
    async def there() -> bool:
        records = [record for record in await arrived(kafka) if record.topic == PROXY_LOG_TOPIC]
        return request_ids <= {record.event["request_id"] for record in records}

    await eventually(there, "every call's event is in Kafka", within_s=60)
