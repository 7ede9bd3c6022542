"""What becomes of a call when a plugin fails: every stage, every way to fail, both policies, both hostings.

``TABLE`` is the specification, and docs/failure-behaviour.md says the same to operators. All of it is tried on
one gateway of real processes, while other calls go on, through a restart of the gateway, too.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import pytest_asyncio
from tests.support.gateway import eventually
from tests.support.load import Load, openai
from tests.support.moody import HOOK_OF, HURRIED_MS, PATIENT_MS, PLACES, Moods, Place, Seen, Told
from tests.support.world import World, open_world

from weir_cli.mock_upstream.process import running

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "failure-behaviour.md"

LOAD: Final = 4
"""Callers of the load, besides up to 32 calls at a time that meet a failing plugin."""


@dataclass(frozen=True)
class Fate:
    """What becomes of a call, in the document's words and as it is seen."""

    words: str
    answer: str
    outcome: str
    marked: bool = False
    recorded: tuple[int, int, int] = (1, 1, 1)
    letters: int = 0


SERVED = Fate("served", "200", "served", marked=True)
PASSED = Fate("goes on without it", "200", "served")
ERROR = Fate("500 `plugin_error`", "500 plugin_error", "blocked")
UNAVAILABLE = Fate("503 `plugin_unavailable`", "503 plugin_unavailable", "blocked")
CUT_ERROR = Fate("the stream ends: `plugin_error`", "200, then plugin_error", "blocked")
CUT_UNAVAILABLE = Fate("the stream ends: `plugin_unavailable`", "200, then plugin_unavailable", "blocked")
BUILT_IN = Fate("the built-in check decides", "401 invalid_api_key", "denied")
UNTOLD = Fate("it is not told", "200", "served")
AWAITED = Fate("waits until it has started", "200", "", marked=True, recorded=(0, 0, 0))
HANDLED = Fate("collected", "200", "", marked=True, recorded=(0, 0, 0))
LETTER = Fate("stored, dead letter", "200", "served", letters=3)
LATE = Fate(
    "stored, and a dead letter, though it may have the event", "200", "served", marked=True, letters=3
)
STORED = Fate("stored", "200", "served")


class Row(NamedTuple):
    """The fates of one way to fail, closed and open, stage by stage."""

    request: tuple[Fate, Fate]
    auth: tuple[Fate, Fate]
    response: tuple[Fate, Fate]
    chunk: tuple[Fate, Fate]
    complete: tuple[Fate, Fate]
    collection: Fate


def _failing(closed: Fate, cut: Fate) -> Row:
    """It was there, and failed in the call."""
    passed = (closed, PASSED)
    return Row(passed, (closed, BUILT_IN), passed, (cut, PASSED), (UNTOLD, UNTOLD), LETTER)


_ABSENT = (UNAVAILABLE, PASSED)
_BROKEN = _failing(ERROR, CUT_ERROR)
_LATE = _failing(UNAVAILABLE, CUT_UNAVAILABLE)
# A plugin that is not there fails at the first hook of its type: for a stream, before its first byte.
_NOT_THERE = Row(_ABSENT, (UNAVAILABLE, BUILT_IN), _ABSENT, _ABSENT, _ABSENT, LETTER)
_WELL = Row(*[(SERVED, SERVED)] * 5, HANDLED)
_NOT_ASKED = Row((PASSED, PASSED), (BUILT_IN, BUILT_IN), *[(PASSED, PASSED)] * 3, STORED)

TABLE: Final[dict[str, Row]] = {
    "works": _WELL,
    "raises": _BROKEN,
    "exits": _BROKEN,
    "rubbish": _BROKEN,
    "waits": _LATE,
    # What happens at the end of a stream has ten seconds, whatever the attachment says.
    "blocks": _LATE._replace(complete=(SERVED, SERVED)),
    "crashed": _LATE,
    "killed": _LATE,
    "restarted": _WELL,
    "starting": _NOT_THERE._replace(collection=AWAITED),
    "cannot start": _NOT_THERE,
    "started at last": _WELL,
    "bad config": _NOT_THERE,
    "deactivated": _NOT_ASKED,
    # Attachments only narrow down what a collector gets.
    "detached": _NOT_ASKED._replace(collection=HANDLED),
}

MANNERS: Final = {
    "works": "nothing",
    "raises": "its handler raises",
    "exits": "its handler calls `sys.exit`",
    "rubbish": "its handler answers rubbish",
    "waits": "its handler waits past its deadline",
    "blocks": "its handler computes past its deadline",
    "crashed": "its process crashes in a call",
    "killed": "its process is killed in a call",
    "restarted": "it is started anew by a change",
    "starting": "it is still starting",
    "cannot start": "it cannot start",
    "started at last": "it starts at last",
    "bad config": "it refuses its config",
    "deactivated": "it is switched off (`is_active: false`)",
    "detached": "it is detached",
}
"""The ways to fail, in the document's words."""

IMPOSSIBLE: Final = {
    ("python", "crashed"): "it cannot end but with the gateway's own process, which test_kills.py is about",
    ("python", "killed"): "it has no process of its own to be killed",
}

CELLS = [
    pytest.param(manner, place, id=f"{manner}-{'-'.join(place)}")
    for manner in TABLE
    for place in PLACES
    if (place.hosting, manner) not in IMPOSSIBLE
]


def expected(manner: str, place: Place) -> Seen:
    """The table's cell, as it is seen."""
    stage, row = place.stage, TABLE[manner]
    pairs = {
        "pre_auth": row.request,
        "auth": row.auth,
        "post_auth": row.request,
        "response_headers": row.response,
        "response_body": row.response,
        "stream_chunk": row.chunk,
        "stream_complete": row.complete,
        "data_collection": (row.collection, row.collection),
    }
    fate = pairs[stage][place.policy == "fail_open"]
    refused_before_upstream = HOOK_OF[stage] != "on_response" and not fate.answer.startswith("200")
    return Seen(
        answer=fate.answer,
        outcome=fate.outcome,
        blocked=fate.outcome == "blocked",
        marked=fate.marked,
        asked=0 if refused_before_upstream else 1,
        recorded=(1, 0, 0) if refused_before_upstream else fate.recorded,
        letters=fate.letters,
    )


COLLECTORS: Final = [place for place in PLACES if place.stage == "data_collection"]

Outcomes = dict[tuple[str, Place], Seen]


class Scenes:
    """Brings every way to fail about, one after the other, and notes what became of the calls."""

    def __init__(self, world: World, directory: Path) -> None:
        self.outcomes: Outcomes = {}
        self._world = world
        self._moods = Moods(world, directory, "moody")
        self._refusing = Moods(world, directory, "refusing")

    async def play(self) -> Outcomes:
        """All of them, beside a load that must not notice."""
        await self._moods.install()
        await self._with_deadline(PATIENT_MS)
        async with self._undisturbed() as load:
            for manner in ("works", "raises", "exits", "rubbish"):
                await self._ask(manner)
            await self._past_their_deadlines()
            await self._in_the_middle_of_calls()
            await self._started_anew()
            await self._refused_configs()
            await self._at_a_start_of_the_gateway(load)
            await self._taken_away()
            await self._switched_off()
        return self.outcomes

    @asynccontextmanager
    async def _undisturbed(self) -> AsyncIterator[Load]:
        """Calls to another LLM, answers and streams by turns; each must come whole."""
        headers = {"authorization": f"Bearer {self._world.caller.secret}"}
        load = Load(self._world.gateway.url, (openai("gpt"),), headers, callers=LOAD)
        load.start()
        try:
            yield load
        finally:
            await load.stop()
        assert load.failed == []
        assert len(load.completed) > 50 * LOAD

    async def _restart_the_gateway(self, load: Load) -> None:
        """Calls that nobody takes meanwhile may fail; none that was begun does."""
        assert load.failed == []
        await self._world.gateway.stop()
        await self._world.gateway.start()
        before = len(load.completed)

        async def goes_on() -> bool:
            return len(load.completed) > before + LOAD

        await eventually(goes_on, "the load goes on")
        assert load.torn == {}
        assert load.refused == []
        load.failed.clear()

    async def _past_their_deadlines(self) -> None:
        await self._with_deadline(HURRIED_MS)
        await self._ask("waits")
        # One at a time where they share a loop: each would make the others late.
        told = [await self._moods.ask(place, "blocks") for place in PLACES if place.hosting == "python"]
        told += chain.from_iterable(await asyncio.gather(*map(self._block_process, set(HOOK_OF.values()))))
        await self._note("blocks", told)
        await self._with_deadline(PATIENT_MS)

    async def _block_process(self, hook: str) -> list[Told]:
        places = [place for place in PLACES if place.hosting == "file" and HOOK_OF[place.stage] == hook]
        return [await self._moods.ask(place, "blocks") for place in places]

    async def _with_deadline(self, timeout_ms: int) -> None:
        await self._moods.attach(timeout_ms)
        await self._moods.all_are("ready")

    async def _in_the_middle_of_calls(self) -> None:
        places = [place for place in PLACES if place.hosting == "file"]
        for manner in ("crashed", "killed"):
            self._moods.forget_work()
            calls = asyncio.ensure_future(self._moods.ask_all(places, manner))
            await eventually(self._moods.at_work(places), "every handler is in the middle of a call")
            if manner == "killed":
                self._moods.kill()
            else:
                self._moods.gate("crash")
            await self._note(manner, await calls)
            self._moods.gate("open")
            await self._moods.all_are("ready")

    async def _started_anew(self) -> None:
        await self._moods.renew("2")
        await self._ask("restarted")

    async def _refused_configs(self) -> None:
        await self._refusing.install(refuse=True)
        await self._refusing.attach(PATIENT_MS)
        await self._refusing.all_are("failed")
        self._put("bad config", await self._refusing.seen(await self._refusing.ask_all(PLACES, "")))

    async def _at_a_start_of_the_gateway(self, load: Load) -> None:
        self._moods.gate("closed")
        await self._restart_the_gateway(load)
        await self._moods.all_are("starting")
        told = await self._moods.ask_all(PLACES, "starting")
        await self._note("starting", [one for one in told if one.place not in COLLECTORS])
        self._moods.gate("open", "data_collection")
        await self._note("starting", [one for one in told if one.place in COLLECTORS])
        self._moods.gate("broken")
        os.kill(self._world.gateway.child("collectors"), signal.SIGKILL)
        await self._moods.all_are("failed")
        await self._ask("cannot start")
        self._moods.gate("open")
        await self._moods.all_are("ready")
        await self._ask("started at last")

    async def _switched_off(self) -> None:
        await self._with_deadline(PATIENT_MS)
        await self._moods.change_all(is_active=False)
        await self._moods.all_are("stopped")
        await self._ask("deactivated")

    async def _taken_away(self) -> None:
        await self._moods.detach("pre_auth", "auth", "post_auth", "on_response")
        await self._ask("detached", [place for place in PLACES if place not in COLLECTORS])
        await self._moods.detach("data_collection")
        await self._ask("detached", COLLECTORS)

    async def _ask(self, manner: str, places: Sequence[Place] = PLACES) -> None:
        await self._note(manner, await self._moods.ask_all(places, manner.replace(" ", "_")))

    async def _note(self, manner: str, told: list[Told]) -> None:
        for one in told:
            # Plugins are told of a finished stream in their own time.
            if one.place.stage == "stream_complete" and expected(manner, one.place).marked:
                await eventually(self._moods.has_heard_of(one), f"the plugin of {one} is told")
        self._put(manner, await self._moods.seen(told))

    def _put(self, manner: str, seen: Mapping[Place, Seen]) -> None:
        self.outcomes |= {(manner, place): what for place, what in seen.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    directory = tmp_path_factory.mktemp("matrix")
    with running(directory / "calls.jsonl", first_byte_ms=30) as upstream:
        async with open_world(directory / "data", upstream) as world:
            return await Scenes(world, directory).play()


@pytest.mark.parametrize(("manner", "place"), CELLS)
async def test_a_call_ends_as_the_table_says(outcomes: Outcomes, manner: str, place: Place) -> None:
    assert outcomes[manner, place] == expected(manner, place)


def in_words(manner: str, policy: int) -> str:
    """A row of the document's table."""
    row = TABLE[manner]
    pairs = (row.request, row.auth, row.response, row.chunk, row.complete)
    fates = [*(pair[policy] for pair in pairs), row.collection]
    return f"| {' | '.join([MANNERS[manner], *(fate.words for fate in fates)])} |"


@pytest.mark.parametrize("policy", [0, 1])
async def test_the_document_says_what_the_table_says(policy: int) -> None:
    rows = [in_words(manner, policy) for manner in TABLE]
    assert "\n".join(rows) in DOCUMENT.read_text()
