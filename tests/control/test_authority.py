"""An operator runs everything but touches no secret: gives none, reads none, and sends none elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from tests.control.conftest import Api, World

from weir_host.probe import ProbeResult

LLM = {"name": "OpenAI", "vendor": "openai", "api_endpoint": "https://api.openai.com/v1", "slug": "openai"}
COMMAND = "python://acme.sink:Sink"
SINK = {"name": "Sink", "command": COMMAND, "slug": "sink"}
SCHEMA = {"properties": {"api_key": {"writeOnly": True}, "size": {"type": "integer"}}}


@pytest.fixture
async def operator(world: World) -> Api:
    """Beside LLM 1 with a key, LLM 2 without one, plugin 1 with a secret and plugin 2 without one."""
    world.prober.results[COMMAND] = ProbeResult(ok=True, hooks=frozenset(("auth",)), config_schema=SCHEMA)
    await world.admin.llm(**LLM, api_key="sk-upstream")
    await world.admin.llm(**LLM | {"slug": "local"})
    await world.admin.plugin(**SINK, config={"api_key": "s3cret", "size": 1})
    await world.admin.plugin(**SINK | {"slug": "plain"}, config={"size": 1})
    return await world.caller("operator")


async def refused(operator: Api, method: str, path: str, body: Any) -> list[str]:
    problem = await operator.problem(403, method, path, body)
    assert "needs the role admin" in problem["detail"]
    return [error["field"] for error in problem["errors"]]


@pytest.mark.parametrize(
    ("method", "path", "body", "fields"),
    [
        ("POST", "/llms", LLM | {"slug": "new", "api_key": "sk-mine"}, ["api_key"]),
        ("PUT", "/llms/1", LLM | {"api_key": "sk-mine"}, ["api_key"]),
        ("PATCH", "/llms/1", {"api_key": "sk-mine"}, ["api_key"]),
        ("PATCH", "/llms/1", {"api_key": None}, ["api_key"]),
        ("PATCH", "/llms/1", {"api_endpoint": "https://mine.example"}, ["api_endpoint"]),
        ("PATCH", "/llms/1", {"vendor": "openai_compatible"}, ["vendor"]),
        ("PUT", "/llms/1", LLM | {"api_endpoint": "https://mine.example"}, ["api_endpoint"]),
        ("PATCH", "/plugins/1", {"command": "python://acme.mine:Mine"}, ["command"]),
        ("PATCH", "/plugins/1", {"config": {"url": "https://mine.example"}}, ["config"]),
        ("PATCH", "/plugins/1", {"config": {"api_key": "mine"}}, ["config"]),
        ("PUT", "/plugins/1", SINK, ["config"]),
        ("PATCH", "/plugins/2", {"config": {"api_key": "mine"}}, ["config"]),
        ("POST", "/plugins", SINK | {"slug": "new", "config": {"api_key": "mine"}}, ["config"]),
        (
            "PUT",
            "/llms/1/plugins",
            {"plugins": [{"plugin_id": 1, "config_override": {"size": 2}}]},
            ["plugins[0].config_override"],
        ),
        (
            "PUT",
            "/llms/1/plugins",
            {"plugins": [{"plugin_id": 2, "config_override": {"api_key": "mine"}}]},
            ["plugins[0].config_override"],
        ),
    ],
)
async def test_what_touches_a_secret_is_refused_by_field_and_nothing_is_stored(
    world: World, operator: Api, method: str, path: str, body: Any, fields: list[str]
) -> None:
    revision = (await world.published()).revision
    assert await refused(operator, method, path, body) == fields
    assert (await world.published()).revision == revision


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/llms", LLM | {"slug": "new"}),
        ("PUT", "/llms/1", LLM | {"timeout_seconds": 5}),
        ("PATCH", "/llms/1", {"is_active": False}),
        ("PATCH", "/llms/2", {"api_endpoint": "https://other.example"}),
        ("DELETE", "/llms/1", None),
        ("PATCH", "/plugins/1", {"is_active": False}),
        ("PATCH", "/plugins/1", {"config": {"api_key": "***"}, "description": "d"}),
        ("POST", "/plugins/1/reload", None),
        ("PATCH", "/plugins/2", {"config": {"size": 2}}),
        ("POST", "/plugins", SINK | {"slug": "new", "config": {"size": 2}}),
        ("DELETE", "/plugins/1", None),
        ("PUT", "/llms/1/plugins", {"plugin_ids": [1, 2]}),
        ("PUT", "/llms/1/plugins", {"plugins": [{"plugin_id": 2, "config_override": {"size": 2}}]}),
        ("POST", "/apps", {"name": "a", "llm_ids": [1]}),
    ],
)
async def test_everything_else_is_the_operators(operator: Api, method: str, path: str, body: Any) -> None:
    answer = await operator(method, path, body)
    assert answer.is_success, answer.text


async def test_a_put_of_an_operator_leaves_the_upstream_key(world: World, operator: Api) -> None:
    assert (await operator.data("PUT", "/llms/1", LLM | {"timeout_seconds": 5}))["has_api_key"] is True
    key = (await world.published()).llms[1].api_key
    assert key is not None
    assert key.reveal() == "sk-upstream"


async def test_an_operator_revokes_a_credential_but_makes_none(world: World, operator: Api) -> None:
    await world.admin.app()
    await world.admin.data("POST", "/apps/1/credentials", {})
    assert [item["id"] for item in await operator.data("GET", "/apps/1/credentials")] == [1]
    await operator.problem(403, "POST", "/apps/1/credentials", {})
    assert (await operator("DELETE", "/apps/1/credentials/1")).status_code == 204


async def test_an_operator_cannot_read_what_no_schema_divides_and_sends_it_back_unharmed(
    world: World,
) -> None:
    await world.admin.plugin(config={"key": "value"})
    operator = await world.caller("operator")
    shown = await operator.data("GET", "/plugins/1")
    assert shown["config"] == {"key": "***"}
    await operator.data("PATCH", "/plugins/1", {"config": shown["config"], "description": "d"})
    assert (await world.published()).plugins[1].config == {"key": "value"}


async def test_a_plugin_whose_configuration_nobody_can_judge_is_not_the_operators(world: World) -> None:
    world.prober.results[COMMAND] = ProbeResult(ok=False, reason="not now")
    await world.admin.plugin(**SINK, config={"key": "value"})
    operator = await world.caller("operator")
    assert await refused(operator, "PATCH", "/plugins/1", {"command": "python://a:B"}) == ["command"]
