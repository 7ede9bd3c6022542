"""Plugins made with our SDK, in processes of their own: what of the gateway reaches them, and what blocks them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.host.programs import LONG, a_plugin, is_there, until

from weir_core.objects import App, Llm, ModelPrice
from weir_core.snapshot import Snapshot
from weir_host.calls import CallInfo
from weir_host.errors import PluginNotReadyError, PluginTimeoutError
from weir_host.host import PluginHost
from weir_host.invoke import call_with_deadline
from weir_host.limits import HostLimits
from weir_host.probe import probe
from weir_sdk.testing import RecordingLogger, make_request

HostOf = Callable[..., PluginHost]
ProgramOf = Callable[..., str]

pytestmark = pytest.mark.usefixtures("own_temp_dir")

PLUGIN = '''
import asyncio, os, threading, time
from weir_sdk import BasePlugin, PluginResponse, serve

class Obedient(BasePlugin):
    """Does what the body says: an expression, in its event loop."""

    async def initialize(self, ctx, config):
        print("noise from initialize")
        if config.get("fail"):
            raise ValueError("bad key")

    async def handle_post_auth(self, ctx, request):
        answer = eval(request.body.decode(), {**globals(), "ctx": ctx})
        if asyncio.iscoroutine(answer):
            answer = await answer
        return PluginResponse(block=True, error_message=repr(answer))

    def handle_pre_auth(self, ctx, request):
        time.sleep(0.05)

    def get_config_schema(self):
        return {"type": "object", "properties": {"size": {"type": "integer"}}}

print("noise from the script")
if __name__ == "__main__":
    serve(Obedient)
'''

SNAPSHOT = Snapshot(
    7,
    [
        *(App(id=number, name=f"app {number}", is_active=number != 2) for number in range(1, 26)),
        App(id=30, name="team", user_id="ada", llm_ids=(1,), metadata={"n": 1}, namespace="eu"),
        Llm(id=1, name="gpt", slug="gpt", vendor="openai", api_endpoint="https://x", metadata={"n": 1.5}),
        ModelPrice(id=1, vendor="openai", model="m", input="0.1", output="3.333"),
    ],
)
SCOPES = ("apps.read", "llms.read", "pricing.read")


async def answer_to(host: PluginHost, expression: str, call: CallInfo) -> str:
    plugin = host.get(1)
    assert plugin is not None
    outcome = await plugin.post_auth(call, make_request(body=expression.encode()))
    assert outcome.block is not None
    return outcome.block.error_message


@pytest.fixture
async def host(child_host: HostOf, program: ProgramOf) -> PluginHost:
    """A host whose plugin has all scopes."""
    host = child_host(gateway_reads=lambda: SNAPSHOT)
    await host.apply(Snapshot(1, [a_plugin(program(PLUGIN), service_scopes=SCOPES)]), LONG)
    assert host.states()[1].reason == ""
    return host


class TestServices:
    async def test_reads_are_those_of_a_plugin_in_our_own_process(
        self, host: PluginHost, call: CallInfo
    ) -> None:
        gateway = "ctx.services.gateway"
        assert "AppInfo(id=30, name='team', description='', owner_email='', user_id='ada'" in (
            await answer_to(host, f"{gateway}.get_app(30)", call)
        )
        assert "metadata={'n': 1.5}" in await answer_to(host, f"{gateway}.get_llm(1)", call)
        price = await answer_to(host, f"{gateway}.get_model_price('m', 'openai')", call)
        assert "input='0.1', output='3.333'" in price
        assert (await answer_to(host, f"{gateway}.list_apps()", call)).count("AppInfo(") == 26
        assert (await answer_to(host, f"{gateway}.list_llms()", call)).count("LlmInfo(") == 1

    async def test_what_is_not_there_or_not_allowed_is_the_same_error(
        self, host: PluginHost, call: CallInfo, child_host: HostOf, program: ProgramOf
    ) -> None:
        with pytest.raises(Exception, match="raised NotFoundError: there is no app with id 99"):
            await answer_to(host, "ctx.services.gateway.get_app(99)", call)
        poor = child_host(gateway_reads=lambda: SNAPSHOT)
        await poor.apply(Snapshot(1, [a_plugin(program(PLUGIN))]), LONG)
        with pytest.raises(Exception, match=r"MissingScopeError: .*'child' lacks the scope apps\.read"):
            await answer_to(poor, "ctx.services.gateway.list_apps()", call)

    async def test_reads_see_the_snapshot_in_force_and_work_again_after_a_restart(
        self, host: PluginHost, call: CallInfo
    ) -> None:
        with pytest.raises(PluginNotReadyError):
            await answer_to(host, "os._exit(1)", call)
        await until(lambda: host.states()[1].restarts == 1 and host.states()[1].state == "ready")
        assert "name='app 1'" in await answer_to(host, "ctx.services.gateway.get_app(1)", call)

    async def test_what_it_logs_is_in_our_log(
        self, host: PluginHost, call: CallInfo, logger: RecordingLogger
    ) -> None:
        await answer_to(host, "ctx.services.logger.warning('look', size=1)", call)
        await answer_to(host, "print('printed')", call)
        await until(lambda: {"look", "printed"} <= {line.message for line in logger.lines})
        seen = {line.message: (line.level, line.values) for line in logger.lines}
        assert seen["look"][0] == "warning"
        assert seen["look"][1]["size"] == 1
        assert seen["look"][1]["plugin"] == "child"


class TestBlocking:
    async def test_a_blocked_event_loop_is_found_and_started_anew(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        limits = HostLimits(ping_every_s=0.05, ping_timeout_s=0.3, exit_s=1.0, first_retry_s=0.01)
        host = child_host(limits)
        await host.apply(Snapshot(1, [a_plugin(program(PLUGIN))]), LONG)
        plugin, loop = host.get(1), asyncio.get_running_loop()
        assert plugin is not None
        request = make_request(body=b"time.sleep(600)")
        with pytest.raises(PluginTimeoutError):
            await call_with_deadline(plugin.post_auth(call, request), loop.time() + 0.05, loop)
        assert host.states()[1].abandoned == 1
        await until(lambda: host.states()[1].restarts == 1 and host.states()[1].state == "ready")
        assert host.states()[1].abandoned == 0
        assert await answer_to(host, "1 + 1", call) == "2"

    async def test_a_call_that_is_cancelled_ends_at_once_and_its_handler_too(
        self, host: PluginHost, call: CallInfo
    ) -> None:
        plugin = host.get(1)
        assert plugin is not None
        request = make_request(body=b"asyncio.sleep(600)")
        calling = asyncio.ensure_future(plugin.post_auth(call, request))
        await asyncio.sleep(0.05)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        tasks = "len([t for t in asyncio.all_tasks() if 'sleep' in repr(t.get_stack())])"
        while await answer_to(host, tasks, call) != "0":
            await asyncio.sleep(0.01)

    async def test_threaded_handlers_have_turns(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host()
        plugin = a_plugin(program(PLUGIN), hook_types=("pre_auth", "post_auth"))
        await host.apply(Snapshot(1, [plugin]), LONG)
        instance = host.get(1)
        assert instance is not None
        inside = most = 0

        async def one() -> None:
            nonlocal inside, most
            async with instance.turn("handle_pre_auth"):
                inside += 1
                most = max(most, inside)
                await instance.pre_auth(call, make_request())
                inside -= 1

        await asyncio.gather(*(one() for _ in range(20)))
        assert most == 8


class TestTrial:
    async def test_a_good_plugin_says_what_it_can_do(self, program: ProgramOf) -> None:
        result = await probe(a_plugin(program(PLUGIN), config={"size": 1}), None)
        assert (result.ok, result.reason) == (True, "")
        assert result.hooks == {"pre_auth", "handle_pre_auth", "post_auth", "handle_post_auth"}
        assert result.config_schema == {"type": "object", "properties": {"size": {"type": "integer"}}}

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"config": {"fail": True}}, "initialize failed: ValueError: bad key"),
            ({"config": {"size": "big"}}, "its config does not fit its schema"),
            ({"checksum": "0" * 64}, "which is not the plugin's checksum"),
            ({"command": "file:///not/there"}, "cannot be opened"),
        ],
    )
    async def test_one_that_cannot_start_says_why(
        self, program: ProgramOf, changes: dict[str, Any], reason: str
    ) -> None:
        result = await probe(a_plugin(**{"command": program(PLUGIN), **changes}), None)
        assert not result.ok
        assert reason in result.reason
        if "size" in changes.get("config", {}):
            assert result.schema_errors == [("size", "'big' is not of type 'integer'")]

    async def test_directories_are_limited_as_they_are_in_the_host(self, program: ProgramOf) -> None:
        result = await probe(a_plugin(program(PLUGIN)), None, ["/opt/plugins"])
        assert "is not below one of the plugin_dirs" in result.reason

    async def test_one_that_hangs_is_gone_afterwards(self, program: ProgramOf, tmp_path: Path) -> None:
        note = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))"
        result = await probe(a_plugin(program(f"{note}; time.sleep(600)")), None, timeout_s=3)
        assert result.reason == "it was not ready after 3 s"
        await until(lambda: not is_there(int((tmp_path / "pid").read_text())))
