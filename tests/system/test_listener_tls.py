"""Listeners that speak TLS: calls, streams, the management API and the health of single roles."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx2
import pytest
from tests.support.certificates import Authority
from tests.support.gateway import ADMIN_TOKEN, Gateway
from tests.system.test_collectors import add_llm

from weir_cli.mock_upstream.process import running

pytestmark = pytest.mark.timeout(120)


async def test_calls_streams_and_the_management_api_come_over_tls_and_nothing_without(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    trusted = ssl.create_default_context(cafile=str(authority.ca_file))
    gateway = Gateway(tmp_path / "data", tls_certificate_file=str(authority.issue("gateway")))
    plain, gateway.url = gateway.url, gateway.url.replace("http://", "https://")
    await gateway.api.aclose()
    bearer = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    gateway.api = httpx2.AsyncClient(base_url=gateway.url, headers=bearer, timeout=30.0, verify=trusted)
    with running(tmp_path / "calls.jsonl") as upstream:
        try:
            await gateway.start()
            llm = await add_llm(gateway, upstream.url)
            caller = await gateway.caller(llm["id"])
            headers = {"authorization": f"Bearer {caller.secret}"}
            body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi " * 100_000}]}
            path = "/llm/call/gpt/v1/chat/completions"
            async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, verify=trusted) as client:
                whole = await client.post(path, json=body)
                streamed = await client.post(path, json=body | {"stream": True})
            assert whole.json()["choices"]
            assert streamed.text.rstrip().endswith("data: [DONE]")
            async with httpx2.AsyncClient(base_url=plain, headers=headers) as client:
                with pytest.raises(httpx2.TransportError):
                    await client.post(path, json=body)
            async with httpx2.AsyncClient(base_url=gateway.url) as client:
                with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                    await client.get("/health")
            assert len(await gateway.recorded("proxy-logs", 2)) == 2
            assert await gateway.stop() == 0
        finally:
            await gateway.close()
    log = gateway.log_path.read_text()
    assert gateway.url in log
    assert "Traceback" not in log
