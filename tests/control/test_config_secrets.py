"""Secrets in plugin configuration: the plugin gets them, and nobody else ever sees them again."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.control.conftest import World

from weir_control.workers import PluginReport, Report
from weir_core.objects import Plugin
from weir_host.probe import ProbeResult

COMMAND = "python://acme.sink:Sink"
OTHER = "python://acme.other:Other"
PLUGIN = {"name": "Sink", "command": COMMAND}
SECRET = {"type": "string", "writeOnly": True}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "api_key": {"$ref": "#/$defs/secret"},
        "url": {"type": "string"},
        "auth": {"allOf": [{"properties": {"password": SECRET}}]},
        "sinks": {"items": {"properties": {"name": {}, "token": SECRET}}},
        "keys": {"items": SECRET},
    },
    "$defs": {"secret": SECRET},
}
CONFIG: dict[str, Any] = {
    "api_key": "s3cret-one",
    "url": "https://sink.example",
    "auth": {"user": "ada", "password": "s3cret-two"},
    "sinks": [{"name": "a", "token": "s3cret-three"}, {"name": "b", "token": "s3cret-four"}],
    "keys": ["s3cret-five", "s3cret-six"],
}
SHOWN: dict[str, Any] = {
    "api_key": "***",
    "url": "https://sink.example",
    "auth": {"user": "ada", "password": "***"},
    "sinks": [{"name": "a", "token": "***"}, {"name": "b", "token": "***"}],
    "keys": ["***", "***"],
}
FAILED = ProbeResult(ok=False, reason="ConnectionError: s3cret-one is not a key")


@pytest.fixture
async def sink(world: World) -> World:
    """Plugin 1, with a secret in every kind of place, attached to LLM 1 with a secret of its own."""
    world.prober.results[COMMAND] = ProbeResult(
        ok=True, hooks=frozenset(("auth", "data_collection")), config_schema=SCHEMA
    )
    await world.admin.plugin(**PLUGIN, config=CONFIG)
    await world.admin.llm(api_key="s3cret-upstream")
    override = [
        {"plugin_id": 1, "config_override": {"api_key": "s3cret-override", "url": "https://b.example"}}
    ]
    await world.admin.data("PUT", "/llms/1/plugins", {"plugins": override})
    return world


async def stored(world: World) -> Plugin:
    return (await world.published()).plugins[1]


async def test_every_answer_hides_what_the_schema_calls_write_only(sink: World) -> None:
    assert (await sink.admin.data("GET", "/plugins/1"))["config"] == SHOWN
    [attached] = await sink.admin.data("GET", "/llms/1/plugins")
    assert attached["config_override"] == {"api_key": "***", "url": "https://b.example"}
    for role in ("admin", "operator", "auditor", "viewer"):
        caller = await sink.caller(role)
        for path in ("/plugins", "/plugins/1", "/llms/1/plugins", "/audit-log", "/plugins/1/config-schema"):
            assert "s3cret" not in (await caller("GET", path)).text


async def test_the_plugin_gets_the_true_values(sink: World) -> None:
    assert (await stored(sink)).config == CONFIG
    [attachment] = (await sink.published()).llms[1].attachments
    assert attachment.config_override == {"api_key": "s3cret-override", "url": "https://b.example"}
    assert sink.prober.tried[-1].config == CONFIG | attachment.config_override


async def test_processes_are_told_what_they_must_not_repeat(sink: World) -> None:
    given = {"s3cret-one", "s3cret-two", "s3cret-three", "s3cret-four", "s3cret-five", "s3cret-six"}
    assert set((await stored(sink)).secrets) == given | {"s3cret-override"}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_answer_that_is_sent_back_keeps_every_secret(sink: World, method: str) -> None:
    shown = await sink.admin.data("GET", "/plugins/1")
    body = PLUGIN | {"config": shown["config"] | {"url": "https://new.example"}}
    answer = await sink.admin.data(method, "/plugins/1", body)
    assert answer["config"] == SHOWN | {"url": "https://new.example"}
    assert (await stored(sink)).config == CONFIG | {"url": "https://new.example"}


async def test_an_override_that_is_sent_back_keeps_its_secret(sink: World) -> None:
    [attached] = await sink.admin.data("GET", "/llms/1/plugins")
    attached["config_override"]["url"] = "https://c.example"
    [answer] = await sink.admin.data("PUT", "/llms/1/plugins", {"plugins": [attached]})
    assert answer["config_override"] == {"api_key": "***", "url": "https://c.example"}
    [attachment] = (await sink.published()).llms[1].attachments
    assert attachment.config_override == {"api_key": "s3cret-override", "url": "https://c.example"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (
            {"sinks": [SHOWN["sinks"][1], SHOWN["sinks"][0]]},
            {"sinks": [CONFIG["sinks"][1], CONFIG["sinks"][0]]},
        ),
        ({"sinks": [SHOWN["sinks"][1]]}, {"sinks": [CONFIG["sinks"][1]]}),
        (
            {"sinks": [*SHOWN["sinks"], {"name": "c", "token": "new"}]},
            {"sinks": [*CONFIG["sinks"], {"name": "c", "token": "new"}]},
        ),
        ({"keys": ["***", "new"]}, {"keys": ["s3cret-five", "new"]}),
        ({"auth": None}, {}),
        ({"auth": {"user": "***"}}, {"auth": {"user": "***", "password": "s3cret-two"}}),
    ],
)
async def test_a_mask_follows_its_secret(sink: World, given: Any, kept: Any) -> None:
    await sink.admin.data("PATCH", "/plugins/1", {"config": given})
    config = (await stored(sink)).config
    assert {name: config[name] for name in given if name in config} == kept


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"sinks": [{"name": "renamed", "token": "***"}]}, "config.sinks[0].token"),
        ({"sinks": [*SHOWN["sinks"], {"name": "c", "token": "***"}]}, "config.sinks[2].token"),
        ({"keys": ["***"]}, "config.keys[0]"),
    ],
)
async def test_a_mask_of_which_it_is_not_clear_whose_it_is_is_refused(
    sink: World, given: Any, path: str
) -> None:
    assert await sink.admin.errors("PATCH", "/plugins/1", {"config": given}) == {path: "masked"}


async def test_a_mask_where_nothing_was_stored_is_refused(sink: World) -> None:
    body = PLUGIN | {"slug": "new", "config": {"api_key": "***"}}
    assert await sink.admin.errors("POST", "/plugins", body) == {"config.api_key": "masked"}
    await sink.admin.plugin(command=COMMAND, slug="second")
    sent = {"plugins": [{"plugin_id": 2, "config_override": {"api_key": "***"}}]}
    assert await sink.admin.errors("PUT", "/llms/1/plugins", sent) == {
        "plugins[0].config_override.api_key": "masked"
    }


async def test_another_plugin_in_its_place_does_not_show_the_secrets(sink: World) -> None:
    sink.prober.results[OTHER] = ProbeResult(ok=True, hooks=frozenset(("auth",)))
    await sink.admin.data("PATCH", "/plugins/1", {"command": OTHER})
    assert (await sink.admin.data("GET", "/plugins/1"))["config"] == SHOWN
    [attached] = await sink.admin.data("GET", "/llms/1/plugins")
    assert attached["config_override"]["api_key"] == "***"
    assert "s3cret" not in (await sink.admin("GET", "/audit-log")).text
    await sink.admin.data("PATCH", "/plugins/1", {"config": {"api_key": "harmless now"}})
    assert (await sink.admin.data("GET", "/plugins/1"))["config"] == SHOWN | {"api_key": "harmless now"}


async def test_a_schema_that_comes_to_mark_a_secret_hides_it_from_the_reload_on(sink: World) -> None:
    stricter = SCHEMA | {"properties": SCHEMA["properties"] | {"url": SECRET}}
    sink.prober.results[COMMAND] = ProbeResult(ok=True, hooks=frozenset(("auth",)), config_schema=stricter)
    reloaded = await sink.admin.data("POST", "/plugins/1/reload")
    assert reloaded["config"] == SHOWN | {"url": "***"}
    [attached] = await sink.admin.data("GET", "/llms/1/plugins")
    assert attached["config_override"] == {"api_key": "***", "url": "***"}


async def test_a_schema_that_stops_marking_a_secret_does_not_show_what_was_given_as_one(sink: World) -> None:
    looser: dict[str, Any] = {"properties": {name: {} for name in SCHEMA["properties"]}}
    sink.prober.results[COMMAND] = ProbeResult(ok=True, hooks=frozenset(("auth",)), config_schema=looser)
    assert (await sink.admin.data("POST", "/plugins/1/reload"))["config"] == SHOWN


async def test_of_a_plugin_that_never_started_everything_is_hidden_until_it_does(world: World) -> None:
    world.prober.results[COMMAND] = FAILED
    created = await world.admin.plugin(**PLUGIN, config=CONFIG)
    assert created["config"] == dict.fromkeys(CONFIG, "***")
    assert created["reason"] == "ConnectionError: *** is not a key"
    world.prober.results[COMMAND] = ProbeResult(ok=True, hooks=frozenset(("auth",)), config_schema=SCHEMA)
    sent_back = PLUGIN | {"config": created["config"]}
    assert (await world.admin.data("PUT", "/plugins/1", sent_back | {"description": "d"}))[
        "config"
    ] == dict.fromkeys(CONFIG, "***")
    assert (await stored(world)).config == CONFIG
    assert (await world.admin.data("POST", "/plugins/1/reload"))["config"] == SHOWN


async def test_a_plugin_that_never_started_does_not_show_its_configuration_as_another(world: World) -> None:
    world.prober.results[COMMAND] = FAILED
    await world.admin.plugin(**PLUGIN, config={"key": "s3cret-one"})
    world.prober.results[OTHER] = ProbeResult(ok=True, hooks=frozenset(("auth",)))
    await world.admin.data("PATCH", "/plugins/1", {"command": OTHER})
    assert (await world.admin.data("GET", "/plugins/1"))["config"] == {"key": "***"}


async def test_no_error_repeats_a_secret(sink: World) -> None:
    given: dict[str, Any] = CONFIG | {"api_key": "s3cret-new"}
    complaints = [("api_key", "'s3cret-new' is too short"), ("", f"{given} is not valid under any schema")]
    sink.prober.results[COMMAND] = ProbeResult(
        ok=False, reason="its config does not fit its schema", config_schema=SCHEMA, schema_errors=complaints
    )
    changes: list[tuple[str, str, Any]] = [
        ("PATCH", "/plugins/1", {"config": {"api_key": "s3cret-new"}}),
        ("POST", "/plugins", PLUGIN | {"slug": "two", "config": given}),
        (
            "PUT",
            "/llms/1/plugins",
            {"plugins": [{"plugin_id": 1, "config_override": {"api_key": "s3cret-new"}}]},
        ),
    ]
    for method, path, body in changes:
        problem = await sink.admin.problem(422, method, path, body)
        assert "s3cret" not in str(problem)
    sink.prober.results[COMMAND] = FAILED
    for method, path, body in (changes[0], changes[2], ("POST", "/plugins/1/reload", None)):
        assert "s3cret-one" not in (await sink.admin(method, path, body)).text


async def test_what_a_worker_says_of_a_plugin_is_shown_without_its_secrets(sink: World) -> None:
    told = PluginReport("failed", "ValueError: bad key s3cret-one")
    sink.service.workers.record(Report(worker="proxy-0", revision=99, plugins={1: told}))
    for path in ("/plugins/1", "/plugins", "/plugins/1/health", "/proxies"):
        text = (await sink.admin("GET", path)).text
        assert "bad key ***" in text
        assert "s3cret" not in text


async def test_no_secret_lies_open_in_a_file_or_a_log(
    sink: World, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        sink.prober.results[OTHER] = FAILED
        await sink.admin("PATCH", "/plugins/1", {"command": OTHER, "config": {"api_key": "s3cret-new"}})
        await sink.admin("POST", "/plugins", PLUGIN | {"slug": "x", "command": OTHER, "config": CONFIG})
        made = await sink.admin.data("POST", "/apps", {"name": "a"})
        credential = await sink.admin.data("POST", f"/apps/{made['id']}/credentials", {})
        await sink.published()
    printed = capsys.readouterr()
    assert "s3cret" not in caplog.text + printed.out + printed.err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "weir.db" for path in files)
    for path in files:
        content = path.read_bytes()
        assert b"s3cret" not in content, path
        assert credential["secret"].encode() not in content, path
        assert b"the-admin-token-of-these-tests" not in content, path


async def test_an_override_must_fit_the_plugins_schema_together_with_its_config(sink: World) -> None:
    strict = {"properties": {"size": {"type": "integer"}, "api_key": SECRET}, "required": ["size"]}
    sink.prober.results[COMMAND] = ProbeResult(
        ok=False, config_schema=strict, schema_errors=[("size", "'x' is not of type 'integer'"), ("", "bad")]
    )
    body = {"plugins": [{"plugin_id": 1, "config_override": {"size": "x"}}]}
    assert await sink.admin.errors("PUT", "/llms/1/plugins", body) == {
        "plugins[0].config_override.size": "config_schema",
        "plugins[0].config_override": "config_schema",
    }
    [attached] = await sink.admin.data("GET", "/llms/1/plugins")
    assert attached["config_override"]["api_key"] == "***"


async def test_an_override_with_which_the_plugin_cannot_start_is_422(sink: World) -> None:
    sink.prober.results[COMMAND] = FAILED
    body = {"plugins": [{"plugin_id": 1, "config_override": {"url": "https://c.example"}}]}
    problem = await sink.admin.problem(422, "PUT", "/llms/1/plugins", body)
    assert problem["code"] == "plugin_cannot_start"
    assert [error["field"] for error in problem["errors"]] == ["plugins[0].config_override"]


async def test_an_override_of_a_plugin_whose_schema_is_not_known_is_422(world: World) -> None:
    world.prober.results[COMMAND] = FAILED
    await world.admin.plugin(**PLUGIN, hook_type="auth")
    await world.admin.llm()
    body = {"plugins": [{"plugin_id": 1, "config_override": {"a": 1}}]}
    assert await world.admin.errors("PUT", "/llms/1/plugins", body) == {
        "plugins[0].config_override": "invalid"
    }


async def test_an_override_that_stays_is_not_tried_again(sink: World) -> None:
    tried = len(sink.prober.tried)
    attached = await sink.admin.data("GET", "/llms/1/plugins")
    attached[0]["timeout_ms"] = 7
    await sink.admin.data("PUT", "/llms/1/plugins", {"plugins": attached})
    assert len(sink.prober.tried) == tried


async def test_a_change_of_a_plugin_must_fit_the_overrides_of_its_attachments(sink: World) -> None:
    stricter = {
        "properties": {
            "api_key": {"type": "string", "writeOnly": True, "maxLength": 10},
            "url": {"maxLength": 5},
        }
    }
    sink.prober.results[COMMAND] = ProbeResult(ok=True, hooks=frozenset(("auth",)), config_schema=stricter)
    problem = await sink.admin.problem(
        422, "PUT", "/plugins/1", PLUGIN | {"config": {"api_key": "short", "url": "x"}}
    )
    assert {error["field"] for error in problem["errors"]} == {"config.api_key", "config.url"}
    assert "at LLM 1" in problem["detail"]
    assert "s3cret" not in str(problem)
    assert (await stored(sink)).config == CONFIG


async def test_a_change_made_while_an_override_was_tried_is_a_conflict(sink: World) -> None:
    sink.prober.meanwhile = partial(sink.admin.data, "PATCH", "/llms/1", {"timeout_seconds": 5})
    body = {"plugins": [{"plugin_id": 1, "config_override": {"url": "https://c.example"}}]}
    await sink.admin.problem(409, "PUT", "/llms/1/plugins", body)


async def test_secrets_that_no_key_opens_are_not_guessed_at(sink: World) -> None:
    sink.store.keyring = type(sink.store.keyring).from_text(sink.store.keyring.generate_key())
    assert (await sink.admin.data("GET", "/plugins/1"))["config"] is None
    [attached] = await sink.admin.data("GET", "/llms/1/plugins")
    assert attached["config_override"] is None
    replaced = await sink.admin.data("PUT", "/plugins/1", PLUGIN | {"config": {"url": "https://new.example"}})
    assert replaced["config"] == {"url": "https://new.example"}
    [entry, *_] = await sink.admin.data("GET", "/audit-log")
    assert (entry["before"]["config"], entry["changed"]) == ("***", ["config"])
