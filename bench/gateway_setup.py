"""The objects a benchmark needs, made over the management API as an admin would, and proof that hooks run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import httpx2

from bench.errors import BenchError
from bench.targets import UPSTREAM_KEY, Target
from bench.waiting import until

_TIMEOUT_S: Final = 30.0
_ASK: Final = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello!"}]}


class WeirTargets(NamedTuple):
    """Weir's LLMs: by their number of request hooks, and one whose plugin changes every event of a stream."""

    by_hooks: dict[int, Target]
    chunk_hook: Target


class Setup:
    """Configures one gateway.

    Args:
        client: Speaks to it with the admin token.
        address: Its host and port.
        worker: The pid of its proxy worker.
    """

    def __init__(self, client: httpx2.Client, address: str, worker: int) -> None:
        self._client = client
        self._address = address
        self._worker = worker

    def complete(self, origin: str, hooks: Sequence[int]) -> WeirTargets:
        """Make an LLM for each kind of target and an app that may call them; blocks until they serve.

        Raises:
            BenchError: A change was refused, an LLM does not serve, or a hook does not run.
        """
        plugins = [
            self._plugin(f"bench-{number}", "SetHeader", "post_auth") for number in range(1, max(hooks) + 1)
        ]
        llms = {count: self._llm(f"bench-{count}", origin, plugins[:count]) for count in hooks}
        chunks = self._plugin("bench-chunks", "ChangeChunks", "on_response")
        chunk_llm = self._llm("bench-chunks", origin, [chunks])
        ids = [llm["id"] for llm in (*llms.values(), chunk_llm)]
        app = self._send("POST", "apps", {"name": "bench", "llm_ids": ids})
        secret = self._send("POST", f"apps/{app['id']}/credentials", {"name": "bench"})["secret"]
        made = WeirTargets(
            by_hooks={count: self._target(_title(count), llm, secret) for count, llm in llms.items()},
            chunk_hook=self._target("weir, chunk hook", chunk_llm, secret),
        )
        for count, target in (*made.by_hooks.items(), (1, made.chunk_hook)):
            self._check_hooks(count, target)
        return made

    def _plugin(self, name: str, cls: str, hook_type: str) -> int:
        body = {"name": name, "command": f"python://bench.plugins:{cls}", "hook_type": hook_type}
        return int(self._send("POST", "plugins", body)["id"])

    def _llm(self, name: str, origin: str, plugins: list[int]) -> dict[str, Any]:
        body = {"name": name, "vendor": "openai", "api_endpoint": f"{origin}/v1"}
        llm = self._send("POST", "llms", body | {"api_key": UPSTREAM_KEY})
        if plugins:
            self._send("PUT", f"llms/{llm['id']}/plugins", {"plugin_ids": plugins})
        return llm

    def _target(self, name: str, llm: dict[str, Any], credential: str) -> Target:
        path = f"/llm/call/{llm['slug']}/v1/chat/completions"
        return Target(name=name, address=self._address, path=path, credential=credential, pid=self._worker)

    def _check_hooks(self, hooks: int, target: Target) -> None:
        """Make one call whose record must name every hook: one that never runs would seem to cost nothing."""
        until(
            lambda: self._call(target).status_code == 200, _TIMEOUT_S, f"{target.name} did not serve a call"
        )
        answer = self._call(target).raise_for_status()
        page = f"records/proxy-logs?request_id={answer.headers['x-request-id']}"
        until(lambda: bool(self._get(page)), _TIMEOUT_S, f"a call to {target.name} left no record")
        ran = self._get(page)[0]["latency_ms"]["plugins"]
        if len(ran) != hooks:
            raise BenchError(f"{target.name} should run {hooks} hooks, but its record names {sorted(ran)}")

    def _call(self, target: Target) -> httpx2.Response:
        headers = {"authorization": f"Bearer {target.credential}"}
        return self._client.post(target.path, json=_ASK, headers=headers)

    def _send(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._client.request(method, f"/api/v1/{path}", json=body)
        if answer.is_error:
            raise BenchError(f"{method} /api/v1/{path} answered {answer.status_code}: {answer.text}")
        data: dict[str, Any] = answer.json()["data"]
        return data

    def _get(self, path: str) -> Any:
        answer = self._client.get(f"/api/v1/{path}")
        if answer.is_error:
            raise BenchError(f"GET /api/v1/{path} answered {answer.status_code}: {answer.text}")
        return answer.json()["data"]


def _title(hooks: int) -> str:
    return "weir" if not hooks else f"weir, {hooks} hook{'s' if hooks > 1 else ''}"
