"""Which plugins work on an LLM's calls."""

from __future__ import annotations

from typing import Any

import pytest
from tests.control.conftest import Api, World, refusal

from weir_core.objects import Attachment
from weir_host.probe import ProbeResult


async def test_ids_alone_attach_in_order_with_the_defaults(world: World) -> None:
    admin = world.admin
    llm = await admin.llm()
    first, second, third = [await admin.plugin(slug=f"p{number}") for number in range(3)]
    order = [third["id"], first["id"], second["id"]]
    answer = await admin("PUT", f"/llms/{llm['id']}/plugins", {"plugin_ids": order})
    assert [item["plugin_id"] for item in answer.json()["data"]] == order
    assert answer.json()["data"][0] == {
        "plugin_id": third["id"],
        "timeout_ms": 1000,
        "on_error": None,
        "stream_mode": "chunks",
        "default_app_id": None,
        "response_headers": ["X-RateLimit-*"],
        "config_override": {},
    }
    attachments = (await world.published(answer)).llms[llm["id"]].attachments
    assert attachments == tuple(Attachment(plugin_id=plugin_id) for plugin_id in order)


async def test_options_reach_the_snapshot(world: World) -> None:
    admin = world.admin
    llm, plugin, app = await admin.llm(), await admin.plugin(), await admin.app()
    options = {
        "plugin_id": plugin["id"],
        "timeout_ms": 50,
        "on_error": "fail_open",
        "stream_mode": "buffer",
        "default_app_id": app["id"],
        "response_headers": ["X-Cache", "X-RateLimit-*"],
        "config_override": {"team": "search"},
    }
    answer = await admin("PUT", f"/llms/{llm['id']}/plugins", {"plugins": [options]})
    assert answer.json()["data"] == [options]
    assert await admin.data("GET", f"/llms/{llm['id']}/plugins") == [options]
    [attachment] = (await world.published(answer)).llms[llm["id"]].attachments
    assert attachment.response_headers == ("X-Cache", "X-RateLimit-*")
    assert (attachment.stream_mode, attachment.config_override) == ("buffer", {"team": "search"})
    assert (attachment.timeout_ms, attachment.on_error, attachment.default_app_id) == (
        50,
        "fail_open",
        app["id"],
    )


async def test_a_new_list_replaces_the_old_one_options_included(admin: Api) -> None:
    llm, plugin = await admin.llm(), await admin.plugin()
    path = f"/llms/{llm['id']}/plugins"
    await admin.data("PUT", path, {"plugins": [{"plugin_id": plugin["id"], "timeout_ms": 5}]})
    [attached] = await admin.data("PUT", path, {"plugin_ids": [plugin["id"]]})
    assert attached["timeout_ms"] == 1000
    assert await admin.data("PUT", path, {"plugin_ids": []}) == []


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"plugin_ids": "required"}),
        ({"plugin_ids": [], "plugins": []}, {"plugin_ids": "required"}),
        ({"plugin_ids": None, "plugins": None}, {"plugin_ids": "required"}),
        ({"plugin_ids": [1, 9]}, {"plugin_ids[1]": "invalid"}),
        ({"plugin_ids": [1, 1]}, {"plugin_ids[1]": "invalid"}),
        ({"plugin_ids": ["1"]}, {"plugin_ids[0]": "wrong_type"}),
        ({"plugin_ids": [0]}, {"plugin_ids[0]": "invalid"}),
        ({"plugin_ids": [2**32]}, {"plugin_ids[0]": "invalid"}),
        ({"plugin_ids": "1"}, {"plugin_ids": "wrong_type"}),
        ({"plugins": [{"plugin_id": 9}]}, {"plugins[0].plugin_id": "invalid"}),
        ({"plugins": [{}]}, {"plugins[0].plugin_id": "required"}),
        ({"plugins": [{"plugin_id": 1, "timeout": 5}]}, {"plugins[0].timeout": "unknown_field"}),
        ({"plugins": [{"plugin_id": 1, "timeout_ms": 0}]}, {"plugins[0].timeout_ms": "invalid"}),
        ({"plugins": [{"plugin_id": 1, "on_error": "ignore"}]}, {"plugins[0].on_error": "invalid"}),
        ({"plugins": [{"plugin_id": 1, "default_app_id": 7}]}, {"plugins[0].default_app_id": "unknown_app"}),
        (
            {"plugins": [{"plugin_id": 1, "response_headers": ["X-A: b"]}]},
            {"plugins[0].response_headers[0]": "invalid"},
        ),
        ({"plugin_ids": list(range(1, 102))}, {"plugin_ids": "invalid"}),
    ],
)
async def test_a_list_that_cannot_be_is_422_with_its_place(
    admin: Api, body: Any, errors: dict[str, str]
) -> None:
    llm = await admin.llm()
    await admin.plugin()
    assert await admin.errors("PUT", f"/llms/{llm['id']}/plugins", body) == errors
    assert await admin.data("GET", f"/llms/{llm['id']}/plugins") == []


@refusal
async def test_an_llm_that_is_not_there_is_404(refusing: Api) -> None:
    await refusing.problem(404, "GET", "/llms/7/plugins")
    await refusing.problem(404, "PUT", "/llms/7/plugins", {"plugin_ids": []})


async def test_an_attached_plugin_cannot_be_deleted_and_the_llms_are_named(admin: Api) -> None:
    llm, plugin = await admin.llm(slug="prod"), await admin.plugin()
    await admin.data("PUT", f"/llms/{llm['id']}/plugins", {"plugin_ids": [plugin["id"]]})
    problem = await admin.problem(409, "DELETE", f"/plugins/{plugin['id']}")
    assert "prod" in problem["detail"]
    await admin.data("PUT", f"/llms/{llm['id']}/plugins", {"plugin_ids": []})
    await admin.data("DELETE", f"/plugins/{plugin['id']}")


async def test_the_default_app_of_a_plugin_cannot_be_deleted(admin: Api) -> None:
    llm, plugin, app = await admin.llm(slug="prod"), await admin.plugin(), await admin.app()
    wanted = [{"plugin_id": plugin["id"], "default_app_id": app["id"]}]
    await admin.data("PUT", f"/llms/{llm['id']}/plugins", {"plugins": wanted})
    assert "prod" in (await admin.problem(409, "DELETE", f"/apps/{app['id']}"))["detail"]


async def test_a_guard_of_no_known_stage_cannot_be_attached(world: World) -> None:
    admin = world.admin
    world.prober.results["python://acme:Broken"] = ProbeResult(ok=False, reason="no such module")
    llm = await admin.llm()
    unknown = await admin.plugin(name="unknown", command="python://acme:Broken")
    named = await admin.plugin(name="named", command="python://acme:Broken", hook_types=["auth"])
    path = f"/llms/{llm['id']}/plugins"
    errors = await admin.errors("PUT", path, {"plugin_ids": [unknown["id"]]})
    assert errors == {"plugin_ids[0]": "invalid"}
    answer = await admin("PUT", path, {"plugin_ids": [named["id"]]})
    snapshot = await world.published(answer)
    assert snapshot.plugins[named["id"]].hook_types == ("auth",)


async def test_a_plugin_and_its_llm_are_seen_by_the_same_edges(admin: Api) -> None:
    everywhere, north = await admin.llm(slug="a"), await admin.llm(slug="b", namespace="north")
    plugin = await admin.plugin(namespace="north")
    attached = {"plugin_ids": [plugin["id"]]}
    assert await admin.errors("PUT", f"/llms/{everywhere['id']}/plugins", attached) == {
        "namespace": "invalid"
    }
    await admin.data("PUT", f"/llms/{north['id']}/plugins", attached)
    south = {"namespace": "south"}
    assert await admin.errors("PATCH", f"/llms/{north['id']}", south) == {"namespace": "invalid"}
    assert await admin.errors("PATCH", f"/plugins/{plugin['id']}", south) == {"namespace": "invalid"}
    await admin.data("PATCH", f"/plugins/{plugin['id']}", {"namespace": ""})
    await admin.data("PATCH", f"/llms/{north['id']}", south)
