"""``weir erase`` beside a gateway that serves, killed again and again: nothing of one user stays, all of others."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.environment import weir_environment
from tests.support.gateway import Caller, Gateway, eventually
from tests.support.load import Load, openai
from tests.support.records import KINDS
from tests.support.world import CHAT, World, open_world

from weir_cli.mock_upstream.process import running

pytestmark = [pytest.mark.crash, pytest.mark.timeout(180)]

CALLS = 100
AT_ONCE = 16
KILLS = 2
ASKED = "what only its user may know"


async def ask(world: World, caller: Caller, count: int) -> None:
    """Make so many calls that each tell the secret."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": ASKED}]}
    headers = {"authorization": f"Bearer {caller.secret}"}
    room = asyncio.Semaphore(AT_ONCE)

    async def call() -> None:
        async with room:
            assert (await world.client.post(CHAT, json=body, headers=headers)).status_code == 200

    await asyncio.gather(*(call() for _ in range(count)))


async def sums(gateway: Gateway, by: str) -> dict[Any, tuple[int, str]]:
    """Requests and cost of each app, or of each user, from the rollups."""
    rows = (await gateway.api.get("/api/v1/analytics/summary", params={"group_by": by})).json()["data"]
    return {row[f"{by}_id"]: (row["requests"], row["cost"]) for row in rows}


async def begin_to_erase(gateway: Gateway, user: str) -> asyncio.subprocess.Process:
    program = str(Path(sys.executable).with_name("weir"))
    return await asyncio.create_subprocess_exec(
        *(program, "erase", "--user", user, "--yes", "--data-dir", str(gateway.data_dir)),
        env=weir_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def kill_in_its_midst(gateway: Gateway, erasing: asyncio.subprocess.Process) -> bool:
    """SIGKILL it once it has erased more than those before it; false when it was done before that."""
    with closing(sqlite3.connect(f"file:{gateway.data_dir / 'weir.db'}?mode=ro", uri=True)) as database:

        def erased() -> int:
            (count,) = database.execute("SELECT coalesce(sum(erased), 0) FROM erasures").fetchone()
            return int(count)

        before = erased()

        async def got_further() -> bool:
            return erasing.returncode is not None or erased() > before

        await eventually(got_further, "a row is erased")
    if erasing.returncode is None:
        erasing.kill()
    await erasing.communicate()
    return erasing.returncode != 0


async def test_an_erasure_that_is_killed_is_finished_by_the_next_while_the_gateway_serves(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "calls.jsonl") as upstream:
        async with open_world(tmp_path / "data", upstream) as world:
            gateway, erased = world.gateway, world.caller
            other = await gateway.caller(world.openai_id, user_id="u-2")
            await ask(world, erased, CALLS)
            await ask(world, other, AT_ONCE)
            for kind in KINDS:
                await gateway.recorded(kind, CALLS, app_id=erased.app_id)

            async def accounted() -> bool:
                return (await sums(gateway, "app")).get(erased.app_id, (0, ""))[0] == CALLS

            await eventually(accounted, "the calls are in the sums")
            before = (await sums(gateway, "app"))[erased.app_id]
            load = Load(gateway.url, (openai("gpt"),), {"authorization": f"Bearer {other.secret}"}, callers=1)
            load.start()
            kills = [
                await kill_in_its_midst(gateway, await begin_to_erase(gateway, "u-1")) for _ in range(KILLS)
            ]
            assert any(kills)
            last = await begin_to_erase(gateway, "u-1")
            said = (await last.communicate())[0].decode()
            await load.stop()
            assert last.returncode == 0, said
            assert load.failed == []

            for kind in KINDS:
                records = await gateway.records(kind, app_id=erased.app_id)
                assert len(records) == CALLS
                assert {(record["user_id"], record.get("request_body")) for record in records} == {
                    (None, None)
                }
            assert (await sums(gateway, "app"))[erased.app_id] == before
            assert "u-1" not in await sums(gateway, "user")

            kept = await gateway.recorded("proxy-logs", AT_ONCE + len(load.completed), app_id=other.app_id)
            assert {record["user_id"] for record in kept} == {"u-2"}
            assert sum(ASKED in record["request_body"] for record in kept) == AT_ONCE

            await ask(world, erased, 1)
            (newest, *_) = await gateway.recorded("proxy-logs", CALLS + 1, app_id=erased.app_id)
            assert (newest["user_id"], ASKED in newest["request_body"]) == ("u-1", True)
            assert await gateway.stop() == 0
