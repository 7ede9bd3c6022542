"""Metrics and the API's reference on a gateway that others reach: on a listener of their own, or nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest
from tests.support.gateway import ADMIN_TOKEN, Gateway, eventually, running_gateway
from tests.support.ports import free_port

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

_ADMIN_ONLY = ("/metrics", "/docs", "/docs/page.js", "/openapi.json")


async def test_a_gateway_that_others_reach_has_metrics_and_docs_on_the_admin_listener_alone(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with (
        running_gateway(tmp_path / "data", host="0.0.0.0", admin_port=str(port), workers="2") as gateway,
        httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {ADMIN_TOKEN}"}
        ) as admin,
    ):
        for path in _ADMIN_ONLY:
            assert (await admin.get(path)).status_code == 200, path
            refused = await gateway.api.get(path)
            assert refused.status_code == 404
            assert "admin_port" in refused.json()["detail"]
        for path in ("/health", "/ready", "/api/v1/llms"):
            assert (await admin.get(path)).status_code == 200, path
            assert (await gateway.api.get(path)).status_code == 200, path
        assert "weir_requests_in_flight" in (await admin.get("/metrics")).text
        call = await admin.post("/llm/call/any/v1/chat/completions", json={})
        assert (call.status_code, call.headers["content-type"]) == (404, "application/problem+json")
        assert await gateway.stop() == 0


async def test_the_metrics_of_every_process_are_on_one_page(tmp_path: Path) -> None:
    wanted = {
        "weir_requests_in_flight",
        "weir_spool_waiting_events",
        "weir_spool_oldest_seconds",
        "weir_collectors_lag_events",
        "weir_collectors_lag_seconds",
        "weir_accountant_lag_events",
        "weir_edge_payloads_pending",
        "weir_edge_payloads_waiting",
        "weir_edge_payloads_dead",
    }
    async with running_gateway(tmp_path / "data") as gateway:

        async def all_there() -> bool:
            shown = (await gateway.api.get("/metrics")).text
            return wanted <= set(re.findall(r"^(weir_\w+)", shown, re.MULTILINE))

        await eventually(all_there, "every process has shown its metrics")
        [proxy] = (await gateway.api.get("/api/v1/proxies")).json()["data"]
        assert proxy["spool"] == {
            "waiting_events": 0,
            "waiting_bytes": 0,
            "oldest_seconds": 0,
            "late": False,
        }


async def test_without_an_admin_port_a_gateway_that_others_reach_shows_neither(tmp_path: Path) -> None:
    async with running_gateway(tmp_path / "data", host="0.0.0.0") as gateway:
        for path in _ADMIN_ONLY:
            assert (await gateway.api.get(path)).status_code == 404


async def test_an_admin_port_that_is_taken_stops_the_start_with_the_setting_to_change(tmp_path: Path) -> None:
    taken = free_port()
    gateway = Gateway(tmp_path / "data", admin_port=str(taken), port=str(taken))
    gateway.port = taken
    with pytest.raises(AssertionError, match="ended"):
        await gateway.start()
    assert "choose another WEIR_ADMIN_PORT or WEIR_ADMIN_HOST" in gateway.log_path.read_text()
    await gateway.close()
