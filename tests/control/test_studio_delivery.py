"""Who is asked about an edge payload, in which order, and what a plugin's answer makes of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from tests.streams.support import ManualClock

from weir_control.studio.delivering import Delivery
from weir_control.studio.inbox import Waiting
from weir_core.clock import Clock, SystemClock, rfc3339
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.host import PluginHost
from weir_sdk import BasePlugin, Context, EdgePayload, EdgePayloadResponse
from weir_sdk.testing import RecordingLogger
from weir_streams.payloads import EdgePayload as SentPayload

MOMENT_US = 1_800_000_000_000_000
DeliveryOf = Callable[..., Awaitable[Delivery]]
asked: list[tuple[str, EdgePayload]] = []


class Receiver(BasePlugin):
    """Answers what its configuration says, and notes that it was asked."""

    def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self.says = config

    async def accept_edge_payload(self, ctx: Context, payload: EdgePayload) -> EdgePayloadResponse:
        asked.append((self.says["name"], payload))
        if self.says.get("hangs"):
            await asyncio.Event().wait()
        if self.says.get("raises"):
            raise RuntimeError("down")
        return EdgePayloadResponse(
            handled=self.says.get("handled", True), error_message=self.says.get("error", "")
        )


def plugin(number: int, **fields: Any) -> Plugin:
    config = {"name": f"plugin-{number}", **fields.pop("config", {})}
    return Plugin(
        id=number,
        name=f"plugin-{number}",
        slug=f"plugin-{number}",
        command="python://weir_studio_plugins_under_test:Receiver",
        config=config,
        **{"hook_types": ("studio",), "runtime": "studio", **fields},
    )


@pytest.fixture
async def delivery_of(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DeliveryOf]:
    """Starts plugins in a studio and makes what delivers to them."""
    module = ModuleType("weir_studio_plugins_under_test")
    module.Receiver = Receiver  # type: ignore[attr-defined]  # a module that is made here
    monkeypatch.setitem(sys.modules, module.__name__, module)
    asked.clear()
    hosts: list[PluginHost] = []

    async def start(*plugins: Plugin, timeout_s: float = 30.0, clock: Clock | None = None) -> Delivery:
        snapshot = Snapshot(1, plugins)
        host = PluginHost(
            runtime="studio",
            hook_types=frozenset({"studio"}),
            gateway_reads=lambda: snapshot,
            plugin_modules=None,
            edge_id="",
            edge_namespace="",
            logger=RecordingLogger(),
            clock=SystemClock(),
        )
        hosts.append(host)
        await host.apply(snapshot, ready_within=30)
        return Delivery(host, lambda: snapshot, clock or SystemClock(), timeout_s)

    yield start
    for host in hosts:
        await host.close()


def waiting(plugin_id: int = 7, namespace: str = "") -> Waiting:
    payload = SentPayload(
        event_id="p-1",
        timestamp=rfc3339(MOMENT_US),
        edge_id="edge-1",
        edge_namespace=namespace,
        plugin_id=plugin_id,
        correlation_id="c-1",
        metadata={"kind": "stats"},
        payload="/w==",
        payload_encoding="base64",
    )
    return Waiting(1, payload, MOMENT_US, MOMENT_US + 2_000_000, 0, 0)


def names() -> list[str]:
    return [name for name, _ in asked]


async def test_the_plugin_with_the_senders_id_is_asked_first(delivery_of: DeliveryOf) -> None:
    delivery = await delivery_of(plugin(1), plugin(7))
    verdict = await delivery.attempt(waiting(), set())
    assert (verdict.kind, verdict.handled_by, names()) == ("handled", 7, ["plugin-7"])


async def test_a_payload_arrives_as_it_was_sent(delivery_of: DeliveryOf) -> None:
    await (await delivery_of(plugin(7))).attempt(waiting(), set())
    [(_, payload)] = asked
    assert payload == EdgePayload(
        id="p-1",
        payload=b"\xff",
        edge_id="edge-1",
        plugin_id=7,
        correlation_id="c-1",
        metadata={"kind": "stats"},
        edge_timestamp=1_800_000_000.0,
        received_timestamp=1_800_000_002.0,
    )


async def test_who_declines_lets_the_others_see_it(delivery_of: DeliveryOf) -> None:
    declines = {"handled": False}
    delivery = await delivery_of(plugin(3), plugin(2, config=declines), plugin(7, config=declines))
    verdict = await delivery.attempt(waiting(), set())
    assert (verdict.handled_by, names()) == (3, ["plugin-7", "plugin-2", "plugin-3"])


async def test_who_has_declined_is_not_asked_again_when_another_fails(delivery_of: DeliveryOf) -> None:
    delivery = await delivery_of(plugin(7, config={"handled": False}), plugin(8, config={"raises": True}))
    declined: set[int] = set()
    for _ in range(2):
        assert (await delivery.attempt(waiting(), declined)).kind == "failed"
    assert names() == ["plugin-7", "plugin-8", "plugin-8"]


async def test_when_all_decline_it_is_declined(delivery_of: DeliveryOf) -> None:
    delivery = await delivery_of(plugin(7, config={"handled": False}))
    assert (await delivery.attempt(waiting(), set())).kind == "declined"


async def test_handled_with_an_error_is_handled(delivery_of: DeliveryOf) -> None:
    verdict = await (await delivery_of(plugin(7, config={"error": "bad"}))).attempt(waiting(), set())
    assert (verdict.kind, verdict.error, verdict.handled_by) == ("handled", "bad", 7)


async def test_an_error_without_handled_is_a_failure(delivery_of: DeliveryOf) -> None:
    delivery = await delivery_of(plugin(7, config={"error": "bad", "handled": False}), plugin(8))
    verdict = await delivery.attempt(waiting(), set())
    assert (verdict.kind, names()) == ("failed", ["plugin-7"])


async def test_a_plugin_that_hangs_fails_at_its_deadline(delivery_of: DeliveryOf) -> None:
    delivery = await delivery_of(plugin(7, config={"hangs": True}), timeout_s=0.01)
    assert (await delivery.attempt(waiting(), set())).kind == "failed"


@pytest.mark.parametrize(
    ("config", "words", "own"),
    [
        ({"raises": True}, "down", "plugin 'plugin-7': accept_edge_payload raised RuntimeError"),
        ({"handled": False, "error": "too old"}, "too old", "plugin 'plugin-7' reported a failure"),
    ],
)
async def test_a_failure_is_told_with_the_plugins_words_and_without(
    delivery_of: DeliveryOf, config: dict[str, Any], words: str, own: str
) -> None:
    verdict = await (await delivery_of(plugin(7, config=config))).attempt(waiting(), set())
    assert (words in verdict.error, verdict.unquoted) == (True, own)


async def test_without_a_plugin_nobody_can_be_asked(delivery_of: DeliveryOf) -> None:
    assert (await (await delivery_of()).attempt(waiting(), set())).kind == "nobody"


async def test_a_plugin_that_cannot_start_is_waited_for_and_not_passed_over(delivery_of: DeliveryOf) -> None:
    gone = msgspec.structs.replace(plugin(7), command="python://no.such:Receiver")
    verdict = await (await delivery_of(gone, plugin(8))).attempt(waiting(), set())
    assert (verdict.kind, names()) == ("nobody", [])


DIES = """
import os
from weir_sdk import BasePlugin, serve

class Dies(BasePlugin):
    async def accept_edge_payload(self, ctx, payload):
        os._exit(9)

serve(Dies)
"""


async def test_a_payload_that_ends_the_plugins_process_has_failed(
    delivery_of: DeliveryOf, tmp_path: Path
) -> None:
    program = tmp_path / "dies.py"
    program.write_text(DIES)
    dies = msgspec.structs.replace(plugin(7), command=f"file://{program}")
    verdict = await (await delivery_of(dies)).attempt(waiting(), set())
    assert (verdict.kind, "'plugin-7'" in verdict.error) == ("failed", True)


def cannot_start(number: int) -> Plugin:
    return msgspec.structs.replace(plugin(number), command="python://no.such:Receiver")


@pytest.mark.parametrize("other", [cannot_start(2), plugin(2, config={"raises": True})])
async def test_a_plugin_that_is_not_the_senders_is_passed_over_while_it_is_of_no_use(
    delivery_of: DeliveryOf, other: Plugin
) -> None:
    delivery = await delivery_of(other, plugin(3))
    assert (await delivery.attempt(waiting(), set())).handled_by == 3


async def test_what_all_others_decline_waits_ten_minutes_for_one_that_is_away(
    delivery_of: DeliveryOf,
) -> None:
    clock = ManualClock()
    delivery = await delivery_of(cannot_start(2), plugin(3, config={"handled": False}), clock=clock)
    verdict = await delivery.attempt(waiting(), set())
    assert (verdict.kind, "'plugin-2' is failed" in verdict.error) == ("nobody", True)
    clock.advance(601)
    # A second payload does not wait ten minutes more: the outage is the same.
    for _ in range(2):
        verdict = await delivery.attempt(waiting(), set())
        assert (verdict.kind, "'plugin-2' is failed" in verdict.error) == ("declined", True)


async def test_plugins_of_other_namespaces_are_not_asked(delivery_of: DeliveryOf) -> None:
    delivery = await delivery_of(plugin(7, namespace="blue"), plugin(8, namespace="red"))
    verdict = await delivery.attempt(waiting(namespace="red"), set())
    assert (verdict.handled_by, names()) == (8, ["plugin-8"])
