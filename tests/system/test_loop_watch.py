"""A plugin that holds up its whole worker for good: the worker is ended, and another serves."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from tests.support.world import open_world

from weir_cli.mock_upstream.process import running

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]


async def test_a_worker_whose_loop_a_plugin_holds_up_for_good_is_replaced_and_the_call_recorded(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "calls.jsonl") as upstream:
        async with open_world(tmp_path / "data", upstream, loop_stall_seconds="2") as world:
            door, other = await world.door(), await world.door()
            await world.attach(door, "Blocking", "post_auth")
            worker = world.gateway.child("proxy")
            with pytest.raises(httpx2.RemoteProtocolError):
                await world.ask(door, messages=[{"role": "user", "content": "compute"}])
            # The next one waits in the listener's queue until somebody serves.
            assert (await world.ask(other)).status_code == 200
            assert world.gateway.child("proxy") != worker
            [lost] = await world.gateway.recorded("proxy-logs", 1, llm_id=door.llm_id)
            assert lost["outcome"] == "gateway_error"
            assert await world.gateway.stop() == 0
    log = world.gateway.log_path.read_text()
    assert "the event loop stands still" in log
    assert "handle_post_auth" in log
