"""The stack's own topology as processes: two gateways on one Kafka and one Postgres pass the smoke test."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.streams.kafka.bench import kafka_settings
from tests.support.gateway import ADMIN_TOKEN, Gateway

from weir_cli.mock_upstream.process import running
from weir_core.secrets import KeyRing
from weir_streams.kafka.topics import TopicOptions, open_topic_admin, planned_topics

SMOKE = Path(__file__).parents[2] / "compose" / "smoke.py"

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


async def test_two_gateways_on_one_kafka_and_one_database_pass_the_stacks_smoke_test(
    kafka: str, migrated_postgres: str, tmp_path: Path
) -> None:
    settings = kafka_settings(kafka)
    async with open_topic_admin(settings) as admin:
        await admin.apply(planned_topics(settings, TopicOptions(partitions=2)))
    shared = {
        "kafka_bootstrap_servers": settings.bootstrap_servers,
        "kafka_prefix": settings.prefix,
        "database_url": migrated_postgres,
        "encryption_keys": KeyRing.generate_key(),
    }
    async with AsyncExitStack() as opened:
        upstream = opened.enter_context(running(tmp_path / "upstream.jsonl"))
        gateways = [Gateway(tmp_path / name, edge_id=name, **shared) for name in ("gateway-a", "gateway-b")]
        for gateway in gateways:
            opened.push_async_callback(gateway.close)
            await gateway.start()
        smoke = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SMOKE),
            ADMIN_TOKEN,
            f"{upstream.url}/v1",
            *(gateway.url for gateway in gateways),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await smoke.communicate()
        assert smoke.returncode == 0, said.decode()
