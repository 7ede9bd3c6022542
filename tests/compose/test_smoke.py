"""The stack's own topology as processes: on one Kafka, Elasticsearch and Postgres it passes the smoke test."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest
from tests.streams.kafka.bench import kafka_settings
from tests.support.gateway import ADMIN_TOKEN, Gateway, eventually
from tests.support.ports import free_port
from tests.support.roles import RoleProcess

from weir_cli.mock_upstream.process import running
from weir_core.secrets import KeyRing
from weir_streams.kafka.topics import TopicOptions, open_topic_admin, planned_topics

SMOKE = Path(__file__).parents[2] / "compose" / "smoke.py"

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


async def test_control_two_proxies_two_workers_and_streams_pass_the_stacks_smoke_test(
    kafka: str, elasticsearch: str, migrated_postgres: str, tmp_path: Path
) -> None:
    settings = kafka_settings(kafka)
    async with open_topic_admin(settings) as admin:
        await admin.apply(planned_topics(settings, TopicOptions(partitions=4)))
    shared = {
        "kafka_bootstrap_servers": settings.bootstrap_servers,
        "kafka_prefix": settings.prefix,
        "encryption_keys": KeyRing.generate_key(),
        "plugin_modules": "weir_collectors.builtin",
        "elasticsearch_url": elasticsearch,
    }
    database = {"database_url": migrated_postgres, **shared}
    async with AsyncExitStack() as opened:
        upstream = opened.enter_context(running(tmp_path / "upstream.jsonl"))
        control, admins = listening(tmp_path / "control", "control", **database)
        opened.push_async_callback(control.close)
        await control.start()
        token = await edge_token(tmp_path / "control", **database)
        proxies = []
        for name in ("proxy-a", "proxy-b"):
            proxy, more = listening(
                tmp_path / name, "proxy", edge_id=name, control_url=control.url, edge_token=token, **shared
            )
            proxies.append(proxy)
            admins += more
        workers = [RoleProcess("collect", tmp_path / f"collector-{number}", **database) for number in (1, 2)]
        streams = RoleProcess("streams", tmp_path / "streams", **shared)
        for process in (*proxies, *workers, streams):
            opened.push_async_callback(process.close)
        await asyncio.gather(*(proxy.start() for proxy in proxies))
        await asyncio.gather(*(role.start() for role in (*workers, streams)))
        await asyncio.gather(*(role.ready() for role in (*workers, streams)))
        smoke = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SMOKE),
            f"--upstream={upstream.url}/v1",
            f"--control={control.url}",
            f"--elasticsearch={elasticsearch}",
            f"--streams={streams.url}",
            *(f"--metrics={url}/metrics" for url in [*admins, *(worker.url for worker in workers)]),
            *(proxy.url for proxy in proxies),
            env={**os.environ, "WEIR_ADMIN_TOKEN": ADMIN_TOKEN},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await smoke.communicate()
        assert smoke.returncode == 0, said.decode()
        await eventually(partial(nothing_waits, control), "the relays report that all is delivered")


async def nothing_waits(control: Gateway) -> bool:
    """Whether control knows of both proxies' spools, and that they are empty."""
    seen = (await control.api.get("/api/v1/proxies")).json()["data"]
    waiting = {one["edge_id"]: one["spool"] and one["spool"]["waiting_events"] for one in seen}
    return waiting == {"proxy-a": 0, "proxy-b": 0}


async def edge_token(data_dir: Path, **settings: str) -> str:
    """What proxies report with, made as ``compose/up`` makes it."""
    made = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("weir")),
        *("tokens", "create", "--name", "proxies", "--role", "edge", "--namespace", ""),
        cwd=data_dir,
        env={
            **os.environ,
            "WEIR_DATA_DIR": str(data_dir),
            **{f"WEIR_{name.upper()}": value for name, value in settings.items()},
        },
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await made.communicate()
    assert made.returncode == 0
    return said.decode().strip()


def listening(data_dir: Path, command: str, **settings: str) -> tuple[Gateway, list[str]]:
    """As in containers: others reach it, and Prometheus the admin listener whose address comes with it."""
    port = free_port()
    gateway = Gateway(data_dir, command=command, host="0.0.0.0", admin_port=str(port), **settings)
    return gateway, [f"http://127.0.0.1:{port}"]
