"""A disk without room, and a disk that refuses: new calls are refused, and none that was admitted is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.support.disk import SmallDisk
from tests.support.gateway import eventually
from tests.support.world import CHAT, QUESTION, World, open_world

from weir_cli.mock_upstream.process import RunningMock

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

SEGMENT_BYTES = 1024 * 1024


@pytest.fixture(params=["mounted", "limited"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SmallDisk]:
    """Both kinds where both can be had."""
    disk = SmallDisk(tmp_path / "disk", mount=request.param == "mounted")
    yield disk
    disk.close()


async def test_a_full_disk_refuses_new_calls_and_loses_none_that_was_admitted(
    disk: SmallDisk, upstream: RunningMock
) -> None:
    settings = {"spool_segment_bytes": str(SEGMENT_BYTES), "max_in_flight": "64"}
    async with open_world(disk.root / "data", upstream, **settings) as world:
        with disk.full(world.gateway.child("proxy"), SEGMENT_BYTES):
            served, refused = await call_until_refused(world)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "spool_full")
            assert refused.headers["retry-after"]
            assert (await world.client.get("/ready")).status_code == 503

        async def serves() -> bool:
            answer = await world.client.post(CHAT, json=QUESTION)
            if answer.status_code == 200:
                served.append(answer.headers["x-request-id"])
            return answer.status_code == 200

        await eventually(serves, "it serves again when there is room")
        await world.families.settled()
        for kind in ("proxy-logs", "analytics", "budget-usage"):
            recorded = {record["request_id"] for record in await world.gateway.recorded(kind, len(served))}
            assert set(served) <= recorded


async def call_until_refused(world: World) -> tuple[list[str], httpx2.Response]:
    """Fill the spool; the ids of the calls that were served, and the answer to the one that was not."""
    served: list[str] = []
    for _ in range(2000):
        answer = await world.client.post(CHAT, json=QUESTION | {"user": "x" * 20_000})
        if answer.status_code != 200:
            return served, answer
        served.append(answer.headers["x-request-id"])
    raise AssertionError("the disk never became full")
