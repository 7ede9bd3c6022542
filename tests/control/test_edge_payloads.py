"""Studio plugins and edge payloads through the API."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from tests.control.conftest import Api, World, refusal

from weir_control.studio.inbox import Arrival, Inbox, Lane
from weir_control.studio.tables import edge_payloads
from weir_core.clock import rfc3339
from weir_host.probe import ProbeResult
from weir_streams.payloads import EdgePayload, encode_payload

MOMENT_US = 1_800_000_000_000_000
STUDIO = {"name": "Aggregator", "command": "python://acme.aggregator:Aggregator"}
BOTH = ProbeResult(ok=True, hooks=frozenset({"post_auth", "studio"}))


async def add_payloads(world: World, *names: str, namespace: str = "", failed: bool = False) -> None:
    """Take payloads in as control does, and give them up where they are to be dead letters."""
    inbox = Inbox(world.store.engine, world.clock)
    arrivals = []
    for name in names:
        payload = EdgePayload(
            event_id=name,
            timestamp=rfc3339(MOMENT_US),
            edge_id="edge-1",
            edge_namespace=namespace,
            plugin_id=7,
            correlation_id="c-1",
            metadata={"kind": "stats"},
            payload='{"hits":1}',
        )
        arrivals.append(Arrival(payload, MOMENT_US, encode_payload(payload).value))
    await inbox.take_in(arrivals)
    if failed:
        for waiting in await inbox.next_of(Lane(namespace, "edge-1", 7), 100):
            await inbox.bury(waiting, 9, "the plugin raised KeyError: 1", "the plugin raised KeyError")


@pytest.mark.parametrize("named", [{}, {"hook_types": ["studio"]}, {"hook_type": "studio"}])
@pytest.mark.parametrize("where", [{"runtime": "studio"}, {"plugin_type": "studio"}])
async def test_a_plugin_of_the_studio_is_stored_and_published(
    world: World, named: dict[str, Any], where: dict[str, Any]
) -> None:
    world.prober.results[STUDIO["command"]] = BOTH
    plugin = await world.admin.data("POST", "/plugins", STUDIO | named | where)
    assert (plugin["runtime"], plugin["hook_types"]) == ("studio", ["studio"])
    snapshot = await world.published()
    assert snapshot.plugins[plugin["id"]].runtime == "studio"


async def test_a_plugin_of_a_gateway_can_have_a_half_in_the_studio(world: World) -> None:
    world.prober.results[STUDIO["command"]] = BOTH
    plugin = await world.admin.data("POST", "/plugins", STUDIO | {"hook_types": ["post_auth", "studio"]})
    assert (plugin["runtime"], plugin["hook_types"]) == ("gateway", ["post_auth", "studio"])


@refusal
async def test_a_plugin_of_the_studio_has_no_other_hook(refusing: Api) -> None:
    body = STUDIO | {"runtime": "studio", "hook_types": ["studio", "post_auth"]}
    assert await refusing.errors("POST", "/plugins", body) == {"hook_types": "invalid"}


async def test_payloads_are_listed_by_state_the_oldest_first(world: World) -> None:
    await add_payloads(world, "dead-1", "dead-2", failed=True)
    await add_payloads(world, "waiting-1")
    answer = await world.admin("GET", "/edge-payloads")
    assert [one["event_id"] for one in answer.json()["data"]] == ["dead-1", "dead-2", "waiting-1"]
    assert answer.json()["pagination"]["total"] == 3
    (dead, _) = await world.admin.data("GET", "/edge-payloads?state=failed&plugin_id=7")
    assert (dead["tries"], dead["reason"], dead["state"]) == (9, "the plugin raised KeyError: 1", "failed")
    assert (dead["payload"], dead["metadata"]) == ('{"hits":1}', {"kind": "stats"})
    assert (dead["sent_at"], dead["correlation_id"]) == (rfc3339(MOMENT_US), "c-1")


async def test_a_dead_letter_waits_again_after_a_redrive(world: World) -> None:
    await add_payloads(world, "dead-1", failed=True)
    (dead,) = await world.admin.data("GET", "/edge-payloads")
    answer = await world.admin("POST", f"/edge-payloads/{dead['id']}/redrive")
    assert answer.status_code == 202
    async with world.store.reading() as connection:
        (row,) = (await connection.execute(select(edge_payloads))).mappings().all()
    assert (row["state"], row["tries"], row["event_id"]) == ("waiting", 0, "dead-1")


async def test_only_dead_letters_can_be_redriven(world: World) -> None:
    await add_payloads(world, "waiting-1")
    (waiting,) = await world.admin.data("GET", "/edge-payloads")
    await world.admin.problem(404, "POST", f"/edge-payloads/{waiting['id']}/redrive")
    await world.admin.problem(404, "POST", "/edge-payloads/99/redrive")


async def test_those_who_read_no_bodies_see_no_payload(world: World) -> None:
    await add_payloads(world, "dead-1", failed=True)
    viewer = await world.caller("viewer")
    (dead,) = await viewer.data("GET", "/edge-payloads")
    assert (dead["payload"], dead["metadata"]) == (None, {})
    assert dead["reason"] == "the plugin raised KeyError"
    await viewer.problem(403, "POST", f"/edge-payloads/{dead['id']}/redrive")


async def test_a_bound_token_sees_the_payloads_of_its_namespaces(world: World) -> None:
    await add_payloads(world, "red-1", namespace="red", failed=True)
    await add_payloads(world, "blue-1", namespace="blue", failed=True)
    caller = await world.caller("operator", "red")
    (seen,) = await caller.data("GET", "/edge-payloads")
    assert seen["event_id"] == "red-1"
    (other,) = [one for one in await world.admin.data("GET", "/edge-payloads") if one["event_id"] == "blue-1"]
    await caller.problem(404, "POST", f"/edge-payloads/{other['id']}/redrive")
