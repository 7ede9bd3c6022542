"""The stack's own topology as processes: on one Kafka, Elasticsearch and Postgres it passes the smoke test."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.streams.kafka.bench import kafka_settings
from tests.support.gateway import ADMIN_TOKEN, Gateway
from tests.support.ports import free_port
from tests.support.roles import RoleProcess

from weir_cli.mock_upstream.process import running
from weir_core.secrets import KeyRing
from weir_streams.kafka.topics import TopicOptions, open_topic_admin, planned_topics

SMOKE = Path(__file__).parents[2] / "compose" / "smoke.py"

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


async def test_two_gateways_and_two_workers_pass_the_stacks_smoke_test(
    kafka: str, elasticsearch: str, migrated_postgres: str, tmp_path: Path
) -> None:
    settings = kafka_settings(kafka)
    async with open_topic_admin(settings) as admin:
        await admin.apply(planned_topics(settings, TopicOptions(partitions=4)))
    shared = {
        "kafka_bootstrap_servers": settings.bootstrap_servers,
        "kafka_prefix": settings.prefix,
        "database_url": migrated_postgres,
        "encryption_keys": KeyRing.generate_key(),
        "plugin_modules": "weir_collectors.builtin",
        "elasticsearch_url": elasticsearch,
    }
    async with AsyncExitStack() as opened:
        upstream = opened.enter_context(running(tmp_path / "upstream.jsonl"))
        ports = {name: free_port() for name in ("gateway-a", "gateway-b")}
        # As in containers: others reach the gateways, and Prometheus their admin listeners.
        gateways = [
            Gateway(tmp_path / name, edge_id=name, host="0.0.0.0", admin_port=str(port), **shared)
            for name, port in ports.items()
        ]
        workers = [RoleProcess("collect", tmp_path / "gateway-a", **shared) for _ in range(2)]
        for process in (*gateways, *workers):
            opened.push_async_callback(process.close)
        await asyncio.gather(*(gateway.start() for gateway in gateways))
        await asyncio.gather(*(worker.start() for worker in workers))
        await asyncio.gather(*(worker.ready() for worker in workers))
        metrics = [f"http://127.0.0.1:{port}" for port in ports.values()] + [one.url for one in workers]
        smoke = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SMOKE),
            f"--upstream={upstream.url}/v1",
            f"--elasticsearch={elasticsearch}",
            *(f"--metrics={url}/metrics" for url in metrics),
            *(gateway.url for gateway in gateways),
            env={**os.environ, "WEIR_ADMIN_TOKEN": ADMIN_TOKEN},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await smoke.communicate()
        assert smoke.returncode == 0, said.decode()
