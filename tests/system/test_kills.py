"""Processes die at any moment by SIGKILL, and afterwards the books are right to the last event."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateway import Gateway, eventually, running_gateway
from tests.support.load import Load
from tests.support.records import KINDS, Families

from weir_cli.mock_upstream.process import DEFAULT_KEY, RunningMock, running

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

CHAT = "/llm/call/gpt/v1/chat/completions"


async def set_up(gateway: Gateway, upstream: RunningMock) -> Load:
    """Two LLMs on the mock, an app that may use both, and a load on them that has not begun."""
    ids = []
    for vendor, slug in (("openai", "gpt"), ("anthropic", "claude")):
        llm = await gateway.create(
            "llms", name=slug, slug=slug, vendor=vendor, api_endpoint=upstream.url, api_key=DEFAULT_KEY
        )
        ids.append(llm["id"])
    caller = await gateway.caller(*ids)
    urls = {"openai": gateway.url + CHAT, "anthropic": f"{gateway.url}/llm/call/claude/v1/messages"}
    return Load(urls, caller.secret)


async def all_records(gateway: Gateway, load: Load, upstream: RunningMock) -> dict[str, list[dict[str, Any]]]:
    """Every record, once everything that was answered or asked upstream is recorded."""
    asked = {call.headers["x-request-id"] for call in upstream.calls()} | set(load.completed)
    found: dict[str, list[dict[str, Any]]] = {}

    async def complete() -> bool:
        for kind in KINDS:
            found[kind] = await gateway.records(kind)
        return all(asked <= {record["request_id"] for record in found[kind]} for kind in KINDS)

    await eventually(complete, "everything is recorded", within_s=60)
    await Families(gateway, gateway.url + CHAT, load.secret).settled()
    return {kind: await gateway.records(kind) for kind in KINDS}


def check_the_books(records: dict[str, list[dict[str, Any]]], load: Load, upstream: RunningMock) -> None:
    """One record of each kind for every completed answer and every upstream call; nothing else unexplained."""
    logs = {record["request_id"]: record for record in records["proxy-logs"]}
    for kind in KINDS:
        twice = [
            key
            for key, count in Counter(record["request_id"] for record in records[kind]).items()
            if count > 1
        ]
        assert not twice, f"{kind} recorded twice: {twice[:3]}"
        events = Counter(record["event_id"] for record in records[kind])
        assert max(events.values()) == 1
        missing = set(load.completed) - {record["request_id"] for record in records[kind]}
        assert not missing, f"{kind} lost {len(missing)} of {len(load.completed)}: {sorted(missing)[:3]}"
    assert {logs[request_id]["outcome"] for request_id in load.completed} == {"served"}
    asked = Counter(call.headers["x-request-id"] for call in upstream.calls())
    assert max(asked.values()) == 1
    for kind in KINDS:
        assert set(asked) <= {record["request_id"] for record in records[kind]}
    for request_id in set(logs) - set(asked):
        assert logs[request_id]["outcome"] == "gateway_error", logs[request_id]
    for request_id, log in logs.items():
        if log["outcome"] == "gateway_error" and request_id in asked:
            [bill] = [record for record in records["analytics"] if record["request_id"] == request_id]
            assert bill["usage_source"] == "estimated"
            assert bill["total_tokens"] > 0


async def test_everything_is_killed_ten_times_under_load_and_nothing_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    moments = random.Random(20261122)
    with running(tmp_path / "calls.jsonl", first_byte_ms=15, chunk_ms=2) as upstream:
        async with running_gateway(tmp_path / "data", workers="2") as gateway:
            load = await set_up(gateway, upstream)
            load.start()
            for _ in range(10):
                await asyncio.sleep(moments.uniform(0.2, 1.2))  # the random moment is the test
                await gateway.kill_everything()
                await gateway.start()
            await load.stop()
            records = await all_records(gateway, load, upstream)
    check_the_books(records, load, upstream)
    outcomes = Counter(record["outcome"] for record in records["proxy-logs"])
    assert len(load.completed) > 100
    assert outcomes["gateway_error"] > 0, "no call was in flight at any kill; the test showed nothing"


async def test_single_children_are_killed_under_load_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    moments = random.Random(1854)
    with running(tmp_path / "calls.jsonl", first_byte_ms=15, chunk_ms=2) as upstream:
        async with running_gateway(tmp_path / "data", workers="2") as gateway:
            load = await set_up(gateway, upstream)
            load.start()
            for _ in range(12):
                await asyncio.sleep(moments.uniform(0.1, 0.6))  # the random moment is the test
                victims = sorted(gateway.children())
                if victims:
                    os.kill(moments.choice(victims), signal.SIGKILL)
            await load.stop()
            records = await all_records(gateway, load, upstream)
    check_the_books(records, load, upstream)
    assert len(load.completed) > 100
