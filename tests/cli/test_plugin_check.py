"""``weir plugin check``: what it finds in a plugin that does one thing wrong."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
from tests.cli.conftest import Weir
from tests.host.programs import WIRE_PLUGIN, children, write_program

_numbers = itertools.count()
Verdicts = dict[str, dict[str, Any]]
Check = Callable[..., tuple[int, Verdicts]]

PLUGIN = """\
import asyncio, os, subprocess, sys, time
from weir_sdk import BasePlugin, PluginResponse, serve
{before}
class Plugin(BasePlugin):
{body}

if __name__ == "__main__":
    serve(Plugin)
"""
GOOD = "async def handle_post_auth(self, ctx, request): ..."


@pytest.fixture(params=["python", "file"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def check(weir: Weir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Checks a plugin with this body; returns the exit code, and the verdicts by what was checked."""
    monkeypatch.setattr(sys, "path", sys.path.copy())

    def check_it(kind: str, body: str, *arguments: str, before: str = "") -> tuple[int, Verdicts]:
        name = f"checked_{next(_numbers)}"
        path = tmp_path / f"{name}.py"
        path.write_text(PLUGIN.format(body=indent(dedent(body), "    "), before=before))
        command = f"python://{name}:Plugin" if kind == "python" else f"file://{path}"
        code, out, err = weir("plugin", "check", command, "--json", *arguments)
        assert out, err
        return code, {verdict["check"]: verdict for verdict in json.loads(out)}

    return check_it


def failures(verdicts: Verdicts) -> list[str]:
    assert all(verdict["advice"] for verdict in verdicts.values() if not verdict["passed"])
    return [name for name, verdict in verdicts.items() if not verdict["passed"]]


EVERY_HANDLER = """
async def handle_pre_auth(self, ctx, request): ...
async def handle_auth(self, ctx, request): ...
def handle_post_auth(self, ctx, request): print("a plugin prints")
async def on_before_write_headers(self, ctx, response): ...
async def on_before_write(self, ctx, response): ...
async def on_stream_complete(self, ctx, stream): ...
async def handle_proxy_log(self, ctx, event): ...
async def handle_analytics(self, ctx, event): ...
async def handle_budget_usage(self, ctx, event): ...
async def handle_batch(self, ctx, events): ...
async def accept_edge_payload(self, ctx, payload): ...
"""


def test_a_plugin_that_behaves_passes_whatever_it_prints(check: Check, kind: str) -> None:
    code, verdicts = check(kind, EVERY_HANDLER)
    assert failures(verdicts) == []
    assert code == 0
    assert set(re.findall(r"def (\w+)", EVERY_HANDLER)) <= verdicts.keys()
    assert {"it starts and stops", "it stops cleanly", "nothing of it is left"} <= verdicts.keys()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "async def handle_post_auth(self, ctx, request): request.json().get('model')",
            "an empty body: plugin",
        ),
        ("async def handle_post_auth(self, ctx, request): return True", "returned bool"),
        (
            "async def handle_post_auth(self, ctx, request): await asyncio.sleep(60)",
            "was not done after ",
        ),
        ("async def handle_batch(self, ctx, events): return []", "returned 0 responses to 1 events"),
        ("async def on_before_write(self, ctx, response): response.json()['choices'][0]", "raised"),
    ],
)
def test_a_handler_that_does_wrong_is_named_with_what_it_was_shown(
    check: Check, kind: str, body: str, said: str
) -> None:
    code, verdicts = check(kind, body)
    (failed,) = failures(verdicts)
    assert code == 1
    assert failed in body
    assert said in verdicts[failed]["found"]


def test_a_handler_that_blocks_the_loop_of_the_gateway_is_interrupted(check: Check) -> None:
    code, verdicts = check("python", "async def handle_post_auth(self, ctx, request): time.sleep(600)")
    assert (code, failures(verdicts)) == (1, ["handle_post_auth"])
    assert "it kept the event loop for itself" in verdicts["handle_post_auth"]["found"]


def test_a_process_that_ends_in_a_call_is_told(check: Check) -> None:
    _, verdicts = check("file", "async def handle_post_auth(self, ctx, request): os._exit(3)")
    assert failures(verdicts) == ["handle_post_auth", "it stops cleanly"]
    assert "its process" in verdicts["handle_post_auth"]["found"]


def test_a_failing_shutdown_is_told(check: Check, kind: str) -> None:
    _, verdicts = check(kind, GOOD + "\nasync def shutdown(self, ctx): raise OSError('the disk is gone')")
    assert failures(verdicts) == ["it stops cleanly"]
    assert "the disk is gone" in verdicts["it stops cleanly"]["found"]


def test_a_process_that_it_leaves_behind_is_told_and_ended(check: Check) -> None:
    body = (
        GOOD
        + "\nasync def initialize(self, ctx, config):\n"
        + "    subprocess.Popen(['sleep', '600'], start_new_session=True)"
    )
    before = children()
    _, verdicts = check("file", body)
    assert failures(verdicts) == ["nothing of it is left"]
    assert "sleep 600" in verdicts["nothing of it is left"]["found"]
    assert children() <= before


def test_a_schema_that_is_none_is_told(check: Check, kind: str) -> None:
    _, verdicts = check(kind, GOOD + "\ndef get_config_schema(self): return {'type': 'objekt'}")
    assert failures(verdicts) == ["its schema is a JSON Schema"]
    assert "objekt" in verdicts["its schema is a JSON Schema"]["found"]


SCHEMA = (
    GOOD
    + "\ndef get_config_schema(self): return {'properties': {'n': {'type': 'integer'}}, 'required': ['n']}"
)


@pytest.mark.parametrize(
    ("config", "said"), [("{}", "'n' is a required"), ('{"n": "x"}', "n: 'x' is not of type")]
)
def test_a_configuration_that_does_not_fit_is_told_with_its_path(
    check: Check, kind: str, config: str, said: str
) -> None:
    _, verdicts = check(kind, SCHEMA, "--config", config)
    assert failures(verdicts) == ["the configuration fits its schema"]
    assert said in verdicts["the configuration fits its schema"]["found"]


def test_one_that_fits_passes(check: Check, kind: str) -> None:
    assert check(kind, SCHEMA, "--config", '{"n": 1}')[0] == 0


def test_a_plugin_that_refuses_to_start_is_told(check: Check, kind: str) -> None:
    _, verdicts = check(
        kind, GOOD + "\nasync def initialize(self, ctx, config): raise OSError('no such place')"
    )
    assert failures(verdicts) == ["it starts and stops"]
    assert "no such place" in verdicts["it starts and stops"]["found"]


def test_a_plugin_without_a_hook_is_told(check: Check, kind: str) -> None:
    _, verdicts = check(kind, "name = 'nothing'")
    assert failures(verdicts) == ["it says what it has"]


def test_output_before_the_handshake_is_told_although_a_gateway_of_ours_forgives_it(check: Check) -> None:
    _, verdicts = check("file", GOOD, before="print('hello from an import')")
    assert failures(verdicts) == ["nothing comes before its handshake"]
    assert "hello from an import" in verdicts["nothing comes before its handshake"]["found"]


def test_a_program_in_the_manner_of_go_plugins_is_checked_for_the_hooks_that_are_named(
    weir: Weir, tmp_path: Path
) -> None:
    command = write_program(tmp_path, WIRE_PLUGIN.replace("exec(request", "#exec(request"), "wire")
    code, out, _ = weir("plugin", "check", command, "--hook", "post_auth", "--json")
    verdicts = {verdict["check"]: verdict for verdict in json.loads(out)}
    assert failures(verdicts) == []
    assert code == 0
    assert "more than it can take" in verdicts["handle_post_auth"]["found"]


def test_a_person_reads_a_table(weir: Weir, tmp_path: Path) -> None:
    (tmp_path / "silent.py").write_text("print('I am no plugin')\n")
    code, out, _ = weir("plugin", "check", "silent.py")
    assert code == 1
    assert "FAIL" in out
    assert "weir_sdk.serve" in out
