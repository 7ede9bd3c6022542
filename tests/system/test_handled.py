"""Collectors of every temper side by side: the verdicts decide what is stored, and no request notices."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import httpx2
import pytest
from tests.support.gateway import eventually, running_gateway
from tests.support.records import Families

from weir_cli.mock_upstream.process import DEFAULT_KEY, running

pytestmark = pytest.mark.timeout(180)

PLUGINS = Path(__file__).parent.parent / "support" / "plugins"
CALLS = 25


def noted(path: Path) -> dict[str, Counter[str]]:
    """Kind to event ids, as a collector wrote them."""
    found: dict[str, Counter[str]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        kind, event_id = line.split()
        found.setdefault(kind, Counter())[event_id] += 1
    return found


async def test_what_is_stored_is_what_the_rule_says_and_requests_do_not_wait(tmp_path: Path) -> None:
    handling_file, slow_file = tmp_path / "handling", tmp_path / "slow"
    with running(tmp_path / "calls.jsonl") as upstream:
        async with running_gateway(tmp_path / "data", plugin_path=PLUGINS) as gateway:
            llm = await gateway.create(
                "llms",
                name="gpt",
                slug="gpt",
                vendor="openai",
                api_endpoint=upstream.url,
                api_key=DEFAULT_KEY,
            )
            caller = await gateway.caller(llm["id"])
            for cls, file in (("Handling", handling_file), ("Failing", tmp_path / "f"), ("Slow", slow_file)):
                plugin = await gateway.create(
                    "plugins",
                    name=cls,
                    slug=cls.lower(),
                    command=f"python://weir_test_plugins:{cls}",
                    hook_types=["data_collection"],
                    config={"file": str(file)},
                    collector={"max_tries": 2, "timeout_ms": 2000},
                )
                await gateway.hosted(plugin["id"])
            url = f"{gateway.url}/llm/call/gpt/v1/chat/completions"
            body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
            ids = []
            async with httpx2.AsyncClient(headers={"authorization": f"Bearer {caller.secret}"}) as client:
                for _ in range(CALLS):
                    answer = await client.post(url, json=body)
                    assert answer.status_code == 200
                    # The slow collector takes 200 ms an event; no answer may ever have to wait for it.
                    ids.append(answer.headers["x-request-id"])

            async def worked_off() -> bool:
                analytics = await gateway.records("analytics")
                budget = await gateway.records("budget-usage")
                handled = sum(noted(handling_file).get("proxy_log", Counter()).values())
                return len(analytics) >= CALLS and len(budget) >= CALLS and handled >= CALLS

            await eventually(worked_off, "every event has had its verdict", within_s=60)
            logs = await gateway.records("proxy-logs")
            analytics = await gateway.records("analytics")
            budget = await gateway.records("budget-usage")

    assert logs == [], "a proxy log that a collector handled was stored"
    assert Counter(record["request_id"] for record in analytics) == Counter(ids)
    assert Counter(record["request_id"] for record in budget) == Counter(ids)
    assert set(noted(handling_file)["analytics"]) == {record["event_id"] for record in analytics}
    assert set(noted(slow_file)["analytics"]) == {record["event_id"] for record in analytics}
    assert len(noted(handling_file)["proxy_log"]) == CALLS


async def test_a_collector_that_stops_handling_gets_its_records_back_into_the_database(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "calls.jsonl") as upstream:
        async with running_gateway(tmp_path / "data", plugin_path=PLUGINS) as gateway:
            llm = await gateway.create(
                "llms",
                name="gpt",
                slug="gpt",
                vendor="openai",
                api_endpoint=upstream.url,
                api_key=DEFAULT_KEY,
            )
            caller = await gateway.caller(llm["id"])
            plugin = await gateway.create(
                "plugins",
                name="handling",
                slug="handling",
                command="python://weir_test_plugins:Handling",
                hook_types=["data_collection"],
                config={"file": str(tmp_path / "noted")},
            )
            families = Families(gateway, f"{gateway.url}/llm/call/gpt/v1/chat/completions", caller.secret)
            await gateway.write("PATCH", f"plugins/{plugin['id']}", is_active=False)
            await families.settled()
            assert await gateway.records("proxy-logs")
