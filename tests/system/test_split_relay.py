"""A proxy whose relay is a process of its own, started by hand on the same data directory."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.streams.kafka.bench import kafka_settings
from tests.support.gateway import Gateway, eventually
from tests.support.roles import RoleProcess

from weir_collectors.database import create_engine
from weir_control.store.reports import read_reports
from weir_core.secrets import KeyRing
from weir_streams.kafka.topics import TopicOptions, open_topic_admin, planned_topics

pytestmark = pytest.mark.system


async def test_both_are_reported_as_one_edge_whatever_the_relay_was_told(
    kafka: str, migrated_postgres: str, tmp_path: Path
) -> None:
    settings = kafka_settings(kafka)
    async with open_topic_admin(settings) as admin:
        await admin.apply(planned_topics(settings, TopicOptions(partitions=1, namespaces=("", "north"))))
    shared = {
        "encryption_keys": KeyRing.generate_key(),
        "kafka_bootstrap_servers": settings.bootstrap_servers,
        "kafka_prefix": settings.prefix,
    }
    async with AsyncExitStack() as opened:
        control = Gateway(tmp_path / "control", command="control", database_url=migrated_postgres, **shared)
        opened.push_async_callback(control.close)
        await control.start()
        token = await control.api.post(
            "/api/v1/tokens", json={"name": "edge", "role": "edge", "namespaces": ["north"]}
        )
        proxy = Gateway(
            tmp_path / "proxy",
            command="proxy",
            flags=["--no-relay"],
            edge_id="north-1",
            edge_namespace="north",
            control_url=control.url,
            edge_token=token.json()["data"]["secret"],
            **shared,
        )
        opened.push_async_callback(proxy.close)
        relay = RoleProcess("relay", tmp_path / "proxy", **shared)
        opened.push_async_callback(relay.close)
        await proxy.start()
        await relay.start()
        engine = create_engine(migrated_postgres)
        opened.push_async_callback(engine.dispose)

        async def both_are_known() -> bool:
            reports = [seen.report for seen in await read_reports(engine)]
            known = {(one.role, one.edge_id, one.namespace) for one in reports}
            return {("proxy", "north-1", "north"), ("relay", "north-1", "north")} <= known

        await eventually(both_are_known, "control knows of the proxy and of its relay")
        [seen] = (await control.api.get("/api/v1/proxies")).json()["data"]
        assert (seen["edge_id"], seen["namespace"], seen["stale"]) == ("north-1", "north", False)
        assert await relay.stop() == 0
