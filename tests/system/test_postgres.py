"""A whole gateway on Postgres, whose processes and whose database are killed under load."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.books import all_records, check_the_books, under_load
from tests.support.environment import weir_environment
from tests.support.gateway import Gateway, running_gateway
from tests.support.servers.availability import server_needed
from tests.support.servers.postgres import PostgresServer, postgres_programs

from weir_core.secrets import KeyRing

pytestmark = [pytest.mark.system, pytest.mark.crash, pytest.mark.timeout(300)]

WEIR = Path(sys.executable).with_name("weir")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A Postgres of this test's own, to be killed."""
    with server_needed("Postgres"):
        postgres_programs()
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def weir(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ``weir`` against a database."""
    return subprocess.run(
        [str(WEIR), *arguments],
        env=weir_environment(database_url=url, encryption_keys=KeyRing.generate_key()),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_gateway_on_a_database_without_tables_ends_and_says_what_to_do(
    postgres: str, tmp_path: Path
) -> None:
    refused = weir(postgres, "serve", "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert refused.returncode == 1
    assert "weir db upgrade" in refused.stderr
    assert "Traceback" not in refused.stderr


async def test_two_gateways_on_one_database_serve_what_either_is_told(
    migrated_postgres: str, tmp_path: Path
) -> None:
    settings = {"database_url": migrated_postgres, "encryption_keys": KeyRing.generate_key()}
    async with (
        running_gateway(tmp_path / "one", **settings) as one,
        running_gateway(tmp_path / "two", **settings) as two,
    ):
        fields = {"vendor": "openai", "api_endpoint": "http://127.0.0.1:1", "api_key": "sk-upstream"}
        for here, there, slug in ((one, two, "first"), (two, one, "second")):
            llm = await here.create("llms", name=slug, slug=slug, **fields)
            await there.applied(await newest_revision(here))
            answer = await there.api.get(f"/api/v1/llms/{llm['id']}")
            assert answer.json()["data"]["slug"] == slug
        together = [gateway.create("apps", name=f"app {n}") for n in range(2) for gateway in (one, two)]
        made = [app["id"] for app in await asyncio.gather(*together)]
        assert sorted(made) == [1, 2, 3, 4]


async def test_where_a_database_is_shared_no_program_runs_that_no_setting_names(
    migrated_postgres: str, tmp_path: Path
) -> None:
    trace = tmp_path / "it-ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {trace}\n")
    program.chmod(0o755)
    settings = {"database_url": migrated_postgres, "encryption_keys": KeyRing.generate_key()}
    async with running_gateway(tmp_path / "data", **settings) as gateway:
        for command, setting in (
            (f"file://{program}", "plugin_dirs"),
            ("python://antigravity:Anything", "plugin_modules"),
        ):
            made = await gateway.create("plugins", name=setting, command=command, hook_types=["post_auth"])
            health = await gateway.api.get(f"/api/v1/plugins/{made['id']}/health")
            assert setting in health.text
    assert not trace.exists()


async def newest_revision(gateway: Gateway) -> int:
    ready = await gateway.api.get("/ready")
    revision: int = ready.json()["revision"]
    return revision


@pytest.mark.parametrize("command", ["tokens create --name ops", "erase --user ali --yes"])
def test_the_commands_work_on_it(migrated_postgres: str, tmp_path: Path, command: str) -> None:
    done = weir(migrated_postgres, *command.split(), "--data-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr


async def test_gateway_and_database_are_killed_under_load_and_nothing_is_lost_or_doubled(
    tmp_path: Path, server: PostgresServer
) -> None:
    moments = random.Random(5432)
    url = server.url()
    upgraded = await asyncio.to_thread(weir, url, "db", "upgrade", "--data-dir", str(tmp_path / "data"))
    assert upgraded.returncode == 0, upgraded.stderr
    settings = {"database_url": url, "encryption_keys": KeyRing.generate_key()}
    async with under_load(tmp_path, **settings) as (world, load):
        for victims in ("database", "gateway", "both", "database"):
            await asyncio.sleep(moments.uniform(0.3, 1.0))  # the random moment is the test
            if victims != "gateway":
                await asyncio.to_thread(server.kill)
            if victims != "database":
                await world.gateway.kill_everything()
            if victims != "gateway":
                await asyncio.sleep(moments.uniform(0.0, 1.0))  # so is the length of the outage
                await asyncio.to_thread(server.start)
            if victims != "database":
                await world.gateway.start()
        await load.stop()
        records = await all_records(world, load)
        check_the_books(records, load, world.upstream)
    assert len(load.completed) > 100
