"""Collector processes that come and go: what they leave behind is right whoever was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.support.gateway import eventually, running_gateway
from tests.support.records import KINDS
from tests.system.test_collectors import PLUGINS, add_llm, add_sink, call, union

from weir_cli.mock_upstream.process import running

pytestmark = pytest.mark.timeout(180)

CALLS = 20


async def test_a_restarted_process_waits_for_its_collectors_before_it_takes_events_for_unhandled(
    tmp_path: Path,
) -> None:
    sink = tmp_path / "sink"
    with running(tmp_path / "calls.jsonl") as upstream:
        async with running_gateway(tmp_path / "data", plugin_path=PLUGINS) as gateway:
            llm = await add_llm(gateway, upstream.url)
            caller = await gateway.caller(llm["id"])
            await add_sink(gateway, sink, start_s=7.0)
            await call(gateway, caller.secret, CALLS)
            os.kill(gateway.child("collectors"), signal.SIGKILL)
            await call(gateway, caller.secret, CALLS)

            async def decided() -> bool:
                return all([len(await union(gateway, sink, kind)) >= 2 * CALLS for kind in KINDS])

            await eventually(decided, "every event is decided", within_s=60)
            assert {kind: len(await gateway.records(kind)) for kind in KINDS} == dict.fromkeys(KINDS, 0)
