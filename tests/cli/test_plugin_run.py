"""``weir plugin run`` and ``weir plugin schema``: a plugin shown what was recorded."""

from __future__ import annotations

import io
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Weir
from tests.cli.plugins_to_try import EDITOR, READER, write

from weir_sdk.testing import make_analytics, make_proxy_log

_numbers = itertools.count()
Run = Callable[..., tuple[int, list[dict[str, Any]], list[dict[str, Any]]]]


@pytest.fixture(params=["python", "file"])
def command(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same plugin in the gateway's process and in one of its own."""
    name = f"editor_{next(_numbers)}"
    path = write(tmp_path, name, EDITOR)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return f"python://{name}:Editor" if request.param == "python" else f"file://{path}"


@pytest.fixture
def run(weir: Weir, command: str, tmp_path: Path) -> Run:
    """Shows the plugin some values; returns the exit code, the effects and the log."""

    def run_it(*recorded: Any, arguments: tuple[str, ...] = ()) -> tuple[int, Any, Any]:
        (tmp_path / "recorded.jsonl").write_text("\n".join(map(json.dumps, recorded)))
        code, out, err = weir("plugin", "run", command, "--event", "recorded.jsonl", "--json", *arguments)
        assert out, err
        document = json.loads(out)
        return code, document["effects"], document["log"]

    return run_it


def a_call(body: Any, response: Any = None) -> dict[str, Any]:
    call: dict[str, Any] = {"request": {"body": body}}
    return call if response is None else {**call, "response": response}


def test_every_hook_that_it_has_is_run_in_the_gateways_order_and_says_what_changed(run: Run) -> None:
    code, effects, _ = run(a_call({"model": "m"}, {"body": "red"}), arguments=("--app", "7"))
    assert code == 0
    assert [(effect["hook"], effect["outcome"]) for effect in effects] == [
        ("handle_pre_auth", "changed"),
        ("handle_post_auth", "changed"),
        ("on_before_write", "changed"),
    ]
    assert effects[0]["changes"] == [{"what": "metadata seen", "before": None, "after": "yes"}]
    assert effects[1]["changes"] == [
        {"what": "header X-App", "before": None, "after": "7"},
        {"what": "body", "before": {"model": "m"}, "after": {"model": "m", "user": "app-7"}},
    ]
    assert effects[2]["changes"] == [{"what": "body", "before": "red", "after": "blue"}]
    assert all(effect["took_ms"] > 0 for effect in effects)


def test_a_block_ends_the_call_and_is_no_failure(run: Run) -> None:
    code, effects, _ = run(a_call("refuse me", {"body": "red"}))
    assert code == 0
    (effect,) = effects
    assert effect["outcome"] == "blocked"
    assert (effect["block"]["status_code"], effect["block"]["error_message"]) == (451, "No.")


def test_a_block_with_status_200_is_an_answer(run: Run) -> None:
    (effect,) = run(a_call("answer me"))[1]
    assert effect["outcome"] == "answered"
    assert effect["block"]["body"] == {"cached": True}


def test_a_failing_hook_ends_the_call_and_the_exit_code_is_1(run: Run) -> None:
    code, effects, _ = run(a_call("fail", {"body": "red"}))
    assert code == 1
    assert [effect["outcome"] for effect in effects] == ["changed", "failed"]
    assert "ValueError: it was asked to fail" in effects[1]["error"]


def test_the_events_of_a_stream_are_shown_one_by_one(run: Run) -> None:
    chunks = [{"text": "red"}, {"text": "drop"}, "[DONE]"]
    effects = run(a_call("x", {"chunks": chunks}), arguments=("--hook", "on_response"))[1]
    (effect,) = effects
    assert effect["calls"] == 3
    assert effect["changes"] == [{"what": "events", "before": chunks, "after": [{"text": "blue"}, "[DONE]"]}]


def test_a_collector_says_what_became_of_each_event(run: Run) -> None:
    events = [
        json.loads(make_analytics(event_id=f"e-{n}", cost=cost).to_json())
        for n, cost in enumerate(("1", None))
    ]
    code, effects, log = run(*events)
    assert code == 1
    assert [(effect["subject"], effect["outcome"]) for effect in effects] == [
        ("e-0", "handled"),
        ("e-1", "failed"),
    ]
    assert effects[1]["error"] == "no cost"
    (taken,) = (line["values"] for line in log if line["message"] == "taken")
    assert taken["event_id"] == "e-0"


def test_a_proxy_log_is_the_call_that_it_tells_of(run: Run) -> None:
    log = make_proxy_log(request_body="{}", response_body="red", app_id=3)
    _, effects, _ = run(json.loads(log.to_json()))
    assert [effect["hook"] for effect in effects] == [
        "handle_pre_auth",
        "handle_post_auth",
        "on_before_write",
    ]
    assert effects[0]["subject"] == log.request_id
    assert {"what": "header X-App", "before": None, "after": "3"} in effects[1]["changes"]


def test_what_a_plugin_prints_is_not_in_the_way_of_the_json(run: Run) -> None:
    code, effects, _ = run(a_call("x"), arguments=("--config", '{"print": true}', "--hook", "pre_auth"))
    assert (code, len(effects)) == (0, 1)


@pytest.mark.parametrize("hosting", ["python", "file"])
def test_it_reads_of_the_gateway_what_its_scopes_allow(
    weir: Weir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hosting: str
) -> None:
    name = f"reader_{next(_numbers)}"
    path = write(tmp_path, name, READER)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "call.json").write_text('{"request": {}}')
    command = f"python://{name}:Reader" if hosting == "python" else str(path)
    arguments = ("plugin", "run", command, "--event", "call.json", "--app", "7")
    code, out, _ = weir(*arguments, "--scope", "apps.read")
    assert code == 0
    assert "+ X-App-Name: app 7" in out
    code, out, _ = weir(*arguments)
    assert code == 1
    assert "lacks the scope apps.read" in out


def test_a_person_reads_a_diff(weir: Weir, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.TextIOWrapper(io.BytesIO(json.dumps(a_call({"model": "m"})).encode()))
    monkeypatch.setattr(sys, "stdin", text)
    code, out, _ = weir("plugin", "run", command, "--event", "-", "--app", "7")
    assert code == 0
    assert "handle_post_auth" in out
    assert "+ X-App: 7" in out
    assert '+  "user": "app-7"' in out
    assert "plugin ready" in out


def test_its_schema_is_printed(weir: Weir, command: str) -> None:
    code, out, _ = weir("plugin", "schema", command)
    assert code == 0
    assert json.loads(out)["properties"] == {"print": {"type": "boolean"}}


def test_a_configuration_that_does_not_fit_is_told_with_its_path(
    weir: Weir, command: str, tmp_path: Path
) -> None:
    (tmp_path / "call.json").write_text(json.dumps(a_call("x")))
    (tmp_path / "config.json").write_text('{"print": "loudly"}')
    code, _, err = weir("plugin", "run", command, "--event", "call.json", "--config", "config.json")
    assert code == 1
    assert "print: 'loudly' is not of type 'boolean'" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.py", "--event", "call.json"), "COMMAND: there is no file nowhere.py"),
        (("http://x", "--event", "call.json"), "COMMAND: 'http://x' is not a plugin command"),
        (("python://a:B", "--event", "missing.json"), "--event: cannot read missing.json"),
        (("python://a:B", "--event", "broken.json"), "--event: broken.json: line 1: it is not JSON"),
        (
            ("python://a:B", "--event", "call.json", "--config", "{"),
            "--config: the JSON is not a JSON object",
        ),
        (("python://a:B", "--event", "call.json", "--config", "no.json"), "--config: cannot read no.json"),
        (("python://a:B", "--event", "call.json", "--hook", "post-auth"), "--hook: 'post-auth' is no hook"),
        (("python://a:B",), "--event"),
    ],
)
def test_bad_input_names_the_argument_and_exits_with_2(
    weir: Weir, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "call.json").write_text('{"request": {}}')
    (tmp_path / "broken.json").write_text("{")
    code, _, err = weir("plugin", "run", *arguments)
    assert code == 2
    assert said in " ".join(err.replace("│", " ").split())


def test_a_hook_that_it_does_not_have_is_wrong_usage(weir: Weir, command: str, tmp_path: Path) -> None:
    (tmp_path / "call.json").write_text('{"request": {}}')
    code, _, err = weir("plugin", "run", command, "--event", "call.json", "--hook", "auth")
    assert code == 2
    assert "the plugin has no auth; it has pre_auth" in " ".join(err.split())


def test_a_plugin_that_cannot_be_imported_exits_with_1_and_the_reason(weir: Weir, tmp_path: Path) -> None:
    (tmp_path / "call.json").write_text('{"request": {}}')
    code, _, err = weir("plugin", "run", "python://no_such_module:Plugin", "--event", "call.json")
    assert code == 1
    assert "No module named 'no_such_module'" in err
