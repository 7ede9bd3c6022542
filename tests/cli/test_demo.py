"""What ``--demo`` makes through the management API, against a fake of that API."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from weir_cli.data_dir import DataDir
from weir_cli.demo import DemoSetup, begin_demo
from weir_cli.demo_state import DemoState, load_demo_state, save_demo_state
from weir_cli.errors import DemoError


class FakeApi:
    """Keeps what is posted; a proxy applies a revision when ``applied`` says so."""

    def __init__(self) -> None:
        self.revision = 0
        self.objects: dict[str, list[dict[str, Any]]] = {"llms": [], "apps": [], "credentials": []}
        self.writes: list[str] = []
        self.asked_proxies = 0
        self.failure: httpx2.Response | None = None

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if self.failure is not None:
            return self.failure
        assert request.headers["authorization"] == "Bearer wt_a_b"
        path = request.url.path.removeprefix("/api/v1/")
        if path == "proxies":
            self.asked_proxies += 1
            behind = 1 if self.asked_proxies < 3 else 0
            gone = {"applied_revision": 0, "stale": True}
            ours = {"applied_revision": self.revision - behind, "stale": False}
            return httpx2.Response(200, json={"data": [gone, ours]})
        kind = "credentials" if path.endswith("/credentials") else path.split("/")[0]
        if request.method == "GET":
            return httpx2.Response(200, json={"data": self.objects[kind]})
        self.revision += 1
        self.writes.append(f"{request.method} {path}")
        return self._write(kind, path, request)

    def _write(self, kind: str, path: str, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        if request.method == "POST":
            made = {**body, "id": len(self.objects[kind]) + 1}
            if kind == "credentials":
                made |= {"key_id": f"key{made['id']}", "secret": f"wk_key{made['id']}_x"}
            self.objects[kind].append(made)
        else:
            made = next(item for item in self.objects[kind] if str(item["id"]) == path.split("/")[1])
            made.update(body)
        return httpx2.Response(200, json={"data": made}, headers={"X-Weir-Revision": str(self.revision)})


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


async def complete(api: FakeApi, state: DemoState) -> DemoState:
    async def no_wait(_seconds: float) -> None:
        pass

    client = httpx2.AsyncClient(
        transport=httpx2.MockTransport(api),
        base_url="http://gateway",
        headers={"Authorization": f"Bearer {state.admin_token}"},
    )
    async with client:
        return await DemoSetup(client, sleep=no_wait).complete(state)


def begun(port: int = 4000) -> DemoState:
    return DemoState(admin_token="wt_a_b", upstream_port=port, upstream_key="sk-demo")


async def test_the_first_start_makes_an_llm_for_each_vendor_an_app_for_both_and_a_credential(
    api: FakeApi,
) -> None:
    state = await complete(api, begun())
    assert [(llm["slug"], llm["vendor"]) for llm in api.objects["llms"]] == [
        ("demo", "openai"),
        ("demo-claude", "anthropic"),
    ]
    assert {llm["api_key"] for llm in api.objects["llms"]} == {"sk-demo"}
    assert api.objects["apps"][0]["llm_ids"] == [1, 2]
    assert (state.app_id, state.credential) == (1, "wk_key1_x")


async def test_it_is_complete_only_when_every_proxy_serves_the_newest_change(api: FakeApi) -> None:
    await complete(api, begun())
    assert api.asked_proxies == 3


async def test_a_later_start_changes_nothing_and_gives_the_same_credential(api: FakeApi) -> None:
    first = await complete(api, begun())
    api.writes.clear()
    assert await complete(api, first) == first
    assert api.writes == []


async def test_an_upstream_that_moved_to_another_port_is_followed(api: FakeApi) -> None:
    first = await complete(api, begun())
    api.writes.clear()
    await complete(api, msgspec.structs.replace(first, upstream_port=5000))
    assert api.writes == ["PATCH llms/1", "PATCH llms/2"]
    assert [llm["api_endpoint"] for llm in api.objects["llms"]] == [
        "http://127.0.0.1:5000/v1",
        "http://127.0.0.1:5000",
    ]


async def test_what_somebody_deleted_is_made_again(api: FakeApi) -> None:
    first = await complete(api, begun())
    api.objects["llms"].pop(0)
    api.objects["credentials"].clear()
    again = await complete(api, first)
    assert "demo" in {llm["slug"] for llm in api.objects["llms"]}
    assert again.credential is not None
    assert {llm["id"] for llm in api.objects["llms"]} <= set(api.objects["apps"][0]["llm_ids"])


async def test_a_refusal_of_the_api_is_told_with_its_answer(api: FakeApi) -> None:
    api.failure = httpx2.Response(401, json={"detail": "The management token is not valid here."})
    with pytest.raises(DemoError, match=r"GET /api/v1/llms.* answered 401: .*not valid here"):
        await complete(api, begun())


def test_the_demos_secrets_are_kept_for_their_owner_only(tmp_path: Path) -> None:
    data_dir = DataDir.at(tmp_path)
    state = begin_demo(data_dir, None, "wt_a_b")
    assert stat.S_IMODE(data_dir.demo.stat().st_mode) == 0o600
    assert load_demo_state(data_dir.demo) == state


def test_a_later_start_keeps_the_port_the_keys_and_the_credential(tmp_path: Path) -> None:
    data_dir = DataDir.at(tmp_path)
    kept = msgspec.structs.replace(begin_demo(data_dir, None, "wt_a_b"), app_id=1, credential="wk_c_d")
    assert begin_demo(data_dir, kept, "wt_a_b") == kept


def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    data_dir = DataDir.at(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        state = begin_demo(data_dir, begun(port), "wt_a_b")
        assert state.upstream_port not in (0, port)


def test_a_damaged_state_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    assert load_demo_state(path) is None
    save_demo_state(path, begun())
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DemoError, match=r"demo\.json is damaged"):
        load_demo_state(path)
