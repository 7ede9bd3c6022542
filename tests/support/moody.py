"""``weir_moody_plugins`` in a running gateway: at every stage, under both hostings, closed and open."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import httpx2
from tests.support.gateway import eventually
from tests.support.records import KINDS, Family
from tests.support.world import CHAT, PLUGINS, QUESTION, World

from weir_cli.mock_upstream.process import DEFAULT_KEY
from weir_core.clock import SystemClock, rfc3339

Hosting = Literal["python", "file"]
Policy = Literal["fail_closed", "fail_open"]

HOSTINGS: Final[tuple[Hosting, ...]] = ("python", "file")
POLICIES: Final[tuple[Policy, ...]] = ("fail_closed", "fail_open")
HOOK_OF: Final = {
    "pre_auth": "pre_auth",
    "auth": "auth",
    "post_auth": "post_auth",
    "response_headers": "on_response",
    "response_body": "on_response",
    "stream_chunk": "on_response",
    "stream_complete": "on_response",
    "data_collection": "data_collection",
}
"""The stages, and the hook type that serves each."""

PATIENT_MS: Final = 20_000
HURRIED_MS: Final = 400
_ANSWERED_WITHIN_S: Final = 60
_COMMANDS: Final = {
    "python": "python://weir_moody_plugins:Moody",
    "file": f"file://{PLUGINS / 'weir_moody_plugins.py'}",
}


class Place(NamedTuple):
    """Where a plugin is called, and what its failure means there."""

    hosting: Hosting
    stage: str
    policy: Policy


PLACES: Final = tuple(itertools.starmap(Place, itertools.product(HOSTINGS, HOOK_OF, POLICIES)))


@dataclass(frozen=True)
class Seen:
    """What became of one call.

    Attributes:
        answer: The status and the code; of a stream that broke off, ``200, then`` the code.
        outcome: The proxy log's; empty where a collector handled it.
        blocked: Whether the proxy log says that this plugin blocked the call.
        marked: Whether the stage under test left its mark.
        asked: How often the upstream was asked.
        recorded: How many proxy logs, analytics and budget events are in the database.
        letters: How many of them are dead letters.
    """

    answer: str
    outcome: str
    blocked: bool
    marked: bool
    asked: int
    recorded: tuple[int, int, int]
    letters: int = 0


@dataclass(frozen=True)
class Told:
    """One answer as the client has it."""

    place: Place
    request_id: str
    answer: str
    mark: str


@dataclass(frozen=True)
class MoodyPlugin:
    """One plugin of the management API, with a directory of its own."""

    id: int
    name: str
    directory: Path

    def gate(self, word: str) -> None:
        """Let its next start, or its crash, come out so."""
        fresh = self.directory / "gate.new"
        fresh.write_text(word)
        fresh.rename(self.directory / "gate")

    def notes(self, about: str) -> list[list[str]]:
        """What it noted under a word, the word left out."""
        path = self.directory / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [words[1:] for line in lines if (words := line.split())[0] == about]


class Moods:
    """A plugin for each hosting and hook type, and an LLM for each of them and each policy."""

    def __init__(self, world: World, directory: Path, name: str) -> None:
        self.world = world
        self.version = "1"
        self.plugins: dict[tuple[Hosting, str], MoodyPlugin] = {}
        self._directory = directory
        self._name = name
        self._llm_ids: dict[tuple[Hosting, str, Policy], int] = {}
        self._since = ""

    async def install(self, **config: Any) -> None:
        """Create all of it, each plugin with this configuration and more of its own."""
        hooks = sorted(set(HOOK_OF.values()))
        kinds = list(itertools.product(HOSTINGS, hooks))
        made = await asyncio.gather(*(self._plugin(hosting, hook, config) for hosting, hook in kinds))
        self.plugins = dict(zip(kinds, made, strict=True))
        keys = [(hosting, hook, policy) for hosting, hook in kinds for policy in POLICIES]
        self._llm_ids = dict(zip(keys, await asyncio.gather(*(self._llm(*key) for key in keys)), strict=True))
        await self.open_to_caller()

    async def open_to_caller(self) -> None:
        """Let the world's app call all LLMs."""
        app = f"apps/{self.world.caller.app_id}"
        known = (await self.world.gateway.api.get(f"/api/v1/{app}")).json()["data"]["llm_ids"]
        await self.world.gateway.write("PATCH", app, llm_ids=[*known, *self._llm_ids.values()])

    async def attach(self, timeout_ms: int) -> None:
        """Attach each plugin to its LLMs with this deadline; collectors get it for themselves."""
        common = {
            "timeout_ms": timeout_ms,
            "default_app_id": self.world.caller.app_id,
            "response_headers": ["x-mark"],
        }
        await asyncio.gather(
            *(
                self._attach(
                    llm_id, common | {"plugin_id": self.plugins[hosting, hook].id, "on_error": policy}
                )
                for (hosting, hook, policy), llm_id in self._llm_ids.items()
            )
        )
        for (_, hook), plugin in self.plugins.items():
            if hook == "data_collection":
                await self.change(plugin, collector={"timeout_ms": timeout_ms, "max_tries": 1})

    async def detach(self, *hooks: str) -> None:
        """Take the plugins of these hook types from their LLMs."""
        llm_ids = (llm_id for (_, hook, _), llm_id in self._llm_ids.items() if hook in hooks)
        await asyncio.gather(*map(self._attach, llm_ids))
        # What a worker says of a changed plugin says that it has come as far as this, too.
        await self.change_all(description="detached")
        await self.all_are("ready")

    async def change(self, plugin: MoodyPlugin, **fields: Any) -> None:
        """PATCH a plugin."""
        await self.world.gateway.write("PATCH", f"plugins/{plugin.id}", **fields)

    async def change_all(self, **fields: Any) -> None:
        """PATCH them all."""
        await asyncio.gather(*(self.change(plugin, **fields) for plugin in self.plugins.values()))

    def gate(self, word: str, *hooks: str) -> None:
        """Open, close or break the gates of the plugins of these hook types; of all without any."""
        for (_, hook), plugin in self.plugins.items():
            if not hooks or hook in hooks:
                plugin.gate(word)

    async def all_are(self, state: str) -> None:
        """Wait until every process that hosts any of them says so; ``stopped`` are those that none hosts."""
        wanted = set() if state == "stopped" else {state}
        for plugin in self.plugins.values():

            async def is_so(plugin: MoodyPlugin = plugin) -> bool:
                url = f"/api/v1/plugins/{plugin.id}/health"
                workers = (await self.world.gateway.api.get(url)).json()["data"]["workers"]
                return {worker["state"] for worker in workers.values()} == wanted

            await eventually(is_so, f"{plugin.name} is {state}", within_s=60)

    def at_work(self, places: Sequence[Place]) -> Callable[[], Any]:
        """An async function that says whether the handlers of these places are all in the middle of a call."""
        wanted = sum(3 if place.stage == "data_collection" else 1 for place in places)

        async def all_at_work() -> bool:
            return sum(len(plugin.notes("at-work")) for plugin in self.plugins.values()) >= wanted

        return all_at_work

    def forget_work(self) -> None:
        """Begin their notes anew."""
        for plugin in self.plugins.values():
            os.truncate(plugin.directory / "notes", 0)

    async def renew(self, version: str) -> None:
        """Give them all a new version, and wait until it serves."""
        await self.change_all(config={"version": version})
        await self.all_are("ready")
        self.version = version

    def kill(self) -> None:
        """SIGKILL the processes that have noted that they are at work."""
        for plugin in self.plugins.values():
            for pid in {int(words[-1]) for words in plugin.notes("at-work")}:
                os.kill(pid, signal.SIGKILL)

    async def ask(self, place: Place, manner: str) -> Told:
        """One call, in which the plugin is to behave so at this stage."""
        stage, streams = place.stage, place.stage in ("stream_chunk", "stream_complete")
        secret = "open-sesame" if stage == "auth" else self.world.caller.secret
        headers = {
            "authorization": f"Bearer {secret}",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "tracestate": f"do={stage}-{manner}",
            "x-request-id": manner,
        }
        slug = self._slug(place.hosting, HOOK_OF[stage], place.policy)
        async with asyncio.timeout(_ANSWERED_WITHIN_S):
            answer = await self.world.client.post(
                CHAT.replace("gpt", slug),
                json=QUESTION | {"stream": streams},
                headers=headers,
                timeout=_ANSWERED_WITHIN_S,
            )
        documents = _documents(answer)
        in_body = stage in ("response_body", "stream_chunk")
        mark = documents[0].get("mark", "") if in_body else answer.headers.get("x-mark", "")
        return Told(place, answer.headers["x-request-id"], _in_words(answer, documents), mark)

    async def ask_all(self, places: Iterable[Place], manner: str) -> list[Told]:
        """The same of many places at once."""
        self._since = rfc3339(SystemClock().wall_us())
        return await asyncio.gather(*(self.ask(place, manner) for place in places))

    def has_heard_of(self, told: Told) -> Callable[[], Any]:
        """An async function that says whether the plugin has handled what it hears of after the answer."""
        plugin = self._plugin_of(told.place)

        async def has_heard() -> bool:
            return any(request_id == told.request_id for request_id, _ in plugin.notes("told"))

        return has_heard

    async def seen(self, told: Iterable[Told]) -> dict[Place, Seen]:
        """Look up what these calls left behind."""
        told = list(told)
        upstream = [call.headers["x-request-id"] for call in self.world.upstream.calls()]
        for one in told:
            if one.place.stage == "data_collection":
                await eventually(lambda one=one: self._is_collected(one), f"{one} is collected or recorded")
        if any(one.place.stage != "data_collection" for one in told):
            await self.world.families.settled()
        families = await self.world.families.since(self._since)
        return {
            one.place: replace(
                await self._seen(one, families.get(one.request_id, Family([], [], []))),
                asked=upstream.count(one.request_id),
            )
            for one in told
        }

    async def _attach(self, llm_id: int, *attachments: dict[str, Any]) -> None:
        await self.world.gateway.write("PUT", f"llms/{llm_id}/plugins", plugins=list(attachments))

    async def _seen(self, told: Told, family: Family) -> Seen:
        plugin = self._plugin_of(told.place)
        log = family.log if family.proxy_logs else {}
        mark = told.mark
        if told.place.stage == "auth":
            mark = log["user_id"] or ""
        if told.place.stage in ("stream_complete", "data_collection"):
            mark = "".join(
                {version for request_id, version in plugin.notes("told") if request_id == told.request_id}
            )
        assert mark in ("", self.version), f"{told} is by another version than {self.version}: {mark}"
        return Seen(
            answer=told.answer,
            outcome=log.get("outcome", ""),
            blocked=log.get("blocked_by") == plugin.name,
            marked=bool(mark),
            asked=0,
            recorded=family.sizes,
            letters=await self._letters(plugin, told.request_id),
        )

    async def _is_collected(self, told: Told) -> bool:
        notes = self._plugin_of(told.place).notes("told")
        if sum(request_id == told.request_id for request_id, _ in notes) == len(KINDS):
            return True
        return (await self.world.families.now(told.request_id)).sizes == (1, 1, 1)

    async def _letters(self, plugin: MoodyPlugin, request_id: str) -> int:
        if self.plugins[_hosting(plugin), "data_collection"] is not plugin:
            return 0
        query = {"collector": plugin.name, "limit": 100}
        letters = (await self.world.gateway.api.get("/api/v1/dead-letters", params=query)).json()["data"]
        return sum(letter["request_id"] == request_id for letter in letters)

    def _plugin_of(self, place: Place) -> MoodyPlugin:
        return self.plugins[place.hosting, HOOK_OF[place.stage]]

    async def _plugin(self, hosting: Hosting, hook: str, config: dict[str, Any]) -> MoodyPlugin:
        name = f"{self._name}-{hosting}-{hook}".replace("_", "-")
        directory = self._directory / name
        directory.mkdir()
        created = await self.world.gateway.create(
            "plugins",
            name=name,
            slug=name,
            command=_COMMANDS[hosting],
            hook_types=[hook],
            config={"version": self.version, "directory": str(directory), **config},
        )
        return MoodyPlugin(created["id"], name, directory)

    async def _llm(self, hosting: Hosting, hook: str, policy: Policy) -> int:
        slug = self._slug(hosting, hook, policy)
        llm = await self.world.gateway.create(
            "llms",
            name=slug,
            slug=slug,
            vendor="openai",
            api_endpoint=self.world.upstream.url,
            api_key=DEFAULT_KEY,
        )
        return int(llm["id"])

    def _slug(self, hosting: Hosting, hook: str, policy: Policy) -> str:
        return f"{self._name}-{hosting}-{hook}-{policy}".replace("_", "-")


def _hosting(plugin: MoodyPlugin) -> Hosting:
    return "file" if "-file-" in plugin.name else "python"


def _documents(answer: httpx2.Response) -> list[dict[str, Any]]:
    """The JSON of an answer, or of each event of a streamed one."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return [answer.json()]
    payloads = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return [{"done": True} if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def _in_words(answer: httpx2.Response, documents: list[dict[str, Any]]) -> str:
    error = documents[-1].get("error")
    if answer.status_code != 200:
        assert error is not None, answer.text
        return f"{answer.status_code} {error['code']}"
    if error is not None:
        assert not any("done" in document for document in documents), "an error after the end"
        return f"200, then {error['code']}"
    assert answer.text.startswith("{") or "done" in documents[-1], "no end"
    return "200"
