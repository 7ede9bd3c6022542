from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weir_core.objects import Plugin
from weir_host.probe import probe
from weir_host.trial import try_out

MakePlugin = Callable[..., Plugin]

SOURCE = """
import os, signal, subprocess, sys, time
from weir_sdk import BasePlugin

print("noise from an import")

class P(BasePlugin):
    async def handle_post_auth(self, ctx, request): ...
    def handle_proxy_log(self, ctx, log): ...

    def initialize(self, ctx, config):
        print("noise from initialize")
        %s

class WithSchema(P):
    def get_config_schema(self):
        return {"type": "object", "required": ["api_key"], "properties": {"size": {"type": "integer"}}}
"""


@pytest.fixture
def make_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePlugin:
    """A plugin whose module is a file; its ``initialize`` runs the statement that is given."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(statement: str = "pass", class_name: str = "P", **changes: Any) -> Plugin:
        (tmp_path / "plugin_to_probe.py").write_text(SOURCE % statement)
        fields: dict[str, Any] = {
            "id": 0,
            "name": "probed",
            "slug": "probed",
            "command": f"python://plugin_to_probe:{class_name}",
            "hook_types": ("post_auth",),
        }
        return Plugin(**{**fields, **changes})

    return make


async def test_a_good_plugin_says_what_it_can_do(make_plugin: MakePlugin) -> None:
    result = await probe(make_plugin(), None)
    assert result.ok
    assert result.reason == ""
    assert result.config_schema is None
    assert result.hooks == {"post_auth", "handle_post_auth", "data_collection", "handle_proxy_log"}


async def test_a_config_is_checked_before_the_plugin_sees_it(make_plugin: MakePlugin) -> None:
    plugin = make_plugin("raise AssertionError", "WithSchema", config={"size": "big"})
    result = await probe(plugin, None)
    assert not result.ok
    assert result.reason == "its config does not fit its schema"
    assert result.schema_errors == [
        ("", "'api_key' is a required property"),
        ("size", "'big' is not of type 'integer'"),
    ]
    assert result.config_schema is not None
    assert result.config_schema["required"] == ["api_key"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"statement": "raise ValueError('bad key')"}, "initialize failed: ValueError: bad key"),
        ({"statement": "sys.exit(3)"}, "initialize failed: SystemExit: 3"),
        ({"statement": "os._exit(3)"}, "its process ended with exit code 3"),
        ({"statement": "os.kill(os.getpid(), signal.SIGSEGV)"}, "its process was killed by SIGSEGV"),
        ({"class_name": "Missing"}, "has no class Missing"),
        ({"command": "python://module_that_is_not_there:P"}, "No module named"),
        ({"command": "grpc://10.0.0.5:7000"}, "not supported yet"),
        ({"command": "file:///opt/plugin-that-is-not-there"}, "cannot be opened: No such file"),
    ],
)
async def test_a_plugin_that_cannot_start_says_why(
    make_plugin: MakePlugin, changes: dict[str, Any], reason: str
) -> None:
    result = await probe(make_plugin(**changes), None)
    assert not result.ok
    assert reason in result.reason


async def test_a_machine_that_has_no_room_for_a_trial_says_so(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    result = await probe(make_plugin(), None)
    assert not result.ok
    assert result.reason.startswith("no process can be started to try it out: ")
    assert "gone" in result.reason


async def test_a_declared_hook_type_that_it_lacks_is_not_among_its_hooks(make_plugin: MakePlugin) -> None:
    result = await probe(make_plugin(hook_types=("post_auth", "auth")), None)
    assert result.ok
    assert "auth" not in result.hooks


async def test_modules_are_limited_as_they_are_in_the_host(make_plugin: MakePlugin) -> None:
    assert "not among the plugin_modules" in (await probe(make_plugin(), ["acme"])).reason
    assert (await probe(make_plugin(), ["plugin_to_probe"])).ok


async def test_one_that_hangs_is_killed_with_what_it_started(make_plugin: MakePlugin, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    statement = (
        "child = subprocess.Popen(['sleep', '600']); "
        f"open({str(pid_file)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    result = await probe(make_plugin(statement), None, timeout_s=5)
    assert not result.ok
    assert result.reason == "it was not ready after 5 s"
    assert await_gone(int(pid_file.read_text()))


@pytest.mark.parametrize(
    "left_behind", ["subprocess.Popen(['sleep', '600'])", "os.fork() or time.sleep(600)"]
)
async def test_a_process_left_behind_does_not_hold_the_result_up(
    make_plugin: MakePlugin, left_behind: str
) -> None:
    result = await probe(make_plugin(left_behind), None)
    assert result.ok


async def test_the_trial_itself_needs_no_process(make_plugin: MakePlugin) -> None:
    result = await try_out(make_plugin("ctx.services.logger.info('hello', app=ctx.app_id)"), None)
    assert result.ok


def await_gone(pid: int) -> bool:
    """Whether a killed process has disappeared, or only waits for its parent; looks for a few seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        os.sched_yield()
    return False


BESIDE_A_FORK_HANDLER_THAT_HANGS = """
import os, time, uvloop
from weir_core.objects import Plugin
from weir_host.probe import probe

os.register_at_fork(after_in_child=lambda: time.sleep(600))
command = "python://weir_collectors.builtin.files:FileCollector"
plugin = Plugin(id=0, name="probed", slug="probed", command=command, hook_types=("data_collection",))
print(uvloop.run(probe(plugin, None)).reason)
"""


def test_what_libraries_do_in_a_forked_child_cannot_hold_up_the_event_loop() -> None:
    done = subprocess.run([sys.executable, "-c", BESIDE_A_FORK_HANDLER_THAT_HANGS], timeout=60)
    assert done.returncode == 0
