"""``--demo``: a mock upstream, two LLMs on it, an app and a credential, so that the first call just works."""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx2
import msgspec

from weir_cli.data_dir import DataDir
from weir_cli.demo_state import (
    DEMO_APP,
    DEMO_CLAUDE_SLUG,
    DEMO_SLUG,
    DemoState,
    save_demo_state,
)
from weir_cli.errors import DemoError
from weir_cli.plans import Household
from weir_cli.processes import Command
from weir_core.secrets import key_id_of

_UPSTREAM_HOST: Final = "127.0.0.1"
_APPLIED_POLL_S: Final = 0.05
_APPLIED_WITHIN_S: Final = 15.0


def begin_demo(data_dir: DataDir, kept: DemoState | None, admin_token: str) -> DemoState:
    """What the mock upstream is started with: the last start's choices, another port where that is taken."""
    state = DemoState(
        admin_token=admin_token,
        upstream_port=_free_port(kept.upstream_port if kept else 0),
        upstream_key=kept.upstream_key if kept else f"sk-demo-{secrets.token_hex(16)}",
        app_id=kept.app_id if kept else None,
        credential=kept.credential if kept else None,
    )
    save_demo_state(data_dir.demo, state)
    return state


def upstream_command(household: Household, state: DemoState) -> Command:
    """How to start the mock upstream; it ends with its standard input, that is with us."""
    flags = {
        "host": _UPSTREAM_HOST,
        "port": state.upstream_port,
        "log": household.data_dir.root / "demo-upstream.jsonl",
        "openai-key": state.upstream_key,
        "anthropic-key": state.upstream_key,
    }
    argv = [sys.executable, "-m", "weir_cli.mock_upstream", "--stop-with-stdin"]
    for name, value in flags.items():
        argv += [f"--{name}", str(value)]
    return Command(tuple(argv), b"", household.environment, (household.lock_fd,), silent=True)


class DemoSetup:
    """Makes the demo's objects through the management API, as an admin would; what is there already stays.

    Args:
        client: Speaks to the gateway with the admin token.
        sleep: Waits; a test holds it.
    """

    def __init__(
        self, client: httpx2.AsyncClient, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._revision = 0

    async def complete(self, state: DemoState) -> DemoState:
        """Return the state with app and credential, when every proxy knows them.

        Raises:
            DemoError: The management API refused something or does not answer.
        """
        try:
            endpoint = f"http://{_UPSTREAM_HOST}:{state.upstream_port}"
            wanted = [
                {"name": "Demo", "slug": DEMO_SLUG, "vendor": "openai", "api_endpoint": f"{endpoint}/v1"},
                {
                    "name": "Demo Claude",
                    "slug": DEMO_CLAUDE_SLUG,
                    "vendor": "anthropic",
                    "api_endpoint": endpoint,
                },
            ]
            llm_ids = [await self._llm({**llm, "api_key": state.upstream_key}) for llm in wanted]
            app_id = await self._app(state.app_id, llm_ids)
            credential = await self._credential(app_id, state.credential)
            await self._applied()
        except httpx2.HTTPError as error:
            raise DemoError(
                f"the management API did not answer while the demo was set up: {error}"
            ) from error
        return msgspec.structs.replace(state, app_id=app_id, credential=credential)

    async def _llm(self, wanted: dict[str, Any]) -> int:
        for llm in await self._list("/llms"):
            if llm["slug"] == wanted["slug"]:
                if llm["api_endpoint"] != wanted["api_endpoint"]:
                    await self._send("PATCH", f"/llms/{llm['id']}", wanted)
                return int(llm["id"])
        return int((await self._send("POST", "/llms", wanted))["id"])

    async def _app(self, app_id: int | None, llm_ids: list[int]) -> int:
        for app in await self._list("/apps"):
            if app["id"] == app_id:
                missing = set(llm_ids) - set(app["llm_ids"])
                if missing:
                    body = {"llm_ids": sorted({*app["llm_ids"], *missing})}
                    await self._send("PATCH", f"/apps/{app_id}", body)
                return int(app["id"])
        return int((await self._send("POST", "/apps", {"name": DEMO_APP, "llm_ids": llm_ids}))["id"])

    async def _credential(self, app_id: int, secret: str | None) -> str:
        if secret is not None:
            known = await self._list(f"/apps/{app_id}/credentials")
            if key_id_of(secret, "wk") in {credential["key_id"] for credential in known}:
                return secret
        return str((await self._send("POST", f"/apps/{app_id}/credentials", {"name": DEMO_APP}))["secret"])

    async def _applied(self) -> None:
        """Wait until every proxy serves the newest change, so that the printed call works when pasted."""
        for _ in range(int(_APPLIED_WITHIN_S / _APPLIED_POLL_S)):
            proxies = [proxy for proxy in await self._list("/proxies") if not proxy["stale"]]
            if proxies and all(proxy["applied_revision"] >= self._revision for proxy in proxies):
                return
            await self._sleep(_APPLIED_POLL_S)
        raise DemoError(f"no proxy has applied revision {self._revision} of the demo; the log says why")

    async def _list(self, path: str) -> list[dict[str, Any]]:
        return list((await self._exchange("GET", f"{path}?limit=100", None)).json()["data"])

    async def _send(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._exchange(method, path, body)
        self._revision = max(self._revision, int(answer.headers["X-Weir-Revision"]))
        return dict(answer.json()["data"])

    async def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> httpx2.Response:
        answer = await self._client.request(method, f"/api/v1{path}", json=body)
        if answer.is_error:
            raise DemoError(f"{method} /api/v1{path} answered {answer.status_code}: {answer.text}")
        return answer


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_UPSTREAM_HOST, wanted))
        except OSError:
            return _free_port(0)
        return int(probe.getsockname()[1])
