"""What a call holds of a plugin while the plugin is changed under it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.host.conftest import HeldSleep

from weir_core.objects import Attachment, Llm, Plugin
from weir_core.snapshot import Snapshot
from weir_host.calls import CallInfo
from weir_host.errors import PluginNotReadyError
from weir_host.host import PluginHost
from weir_host.instance import Calls
from weir_sdk import BasePlugin, Context, Request
from weir_sdk.testing import make_request

HostOf = Callable[..., PluginHost]
AT_ONCE = 5.0


class Versioned(BasePlugin):
    """Shows its version; ``slow`` versions wait for the test before they are ready."""

    slow = asyncio.Event()
    stopped: tuple[str, ...] = ()

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self.version = config["version"]
        if config.get("slow"):
            await Versioned.slow.wait()

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        request.headers["X-Version"] = self.version

    async def shutdown(self, ctx: Context) -> None:
        Versioned.stopped += (self.version,)


@pytest.fixture
def plugin(command_of: Callable[[type], str]) -> Plugin:
    Versioned.slow, Versioned.stopped = asyncio.Event(), ()
    return Plugin(
        id=1,
        name="versioned",
        slug="versioned",
        command=command_of(Versioned),
        hook_types=("post_auth",),
        config={"version": "1"},
    )


def changed(plugin: Plugin, **config: Any) -> Plugin:
    return Plugin(
        id=1,
        name=plugin.name,
        slug=plugin.slug,
        command=plugin.command,
        hook_types=("post_auth",),
        config=config,
    )


def attached(**override: Any) -> Llm:
    attachments = (Attachment(plugin_id=1, config_override=override),)
    return Llm(id=1, name="m", slug="m", vendor="openai", api_endpoint="", attachments=attachments)


async def version_of(calls: Calls | None, call: CallInfo) -> str:
    assert calls is not None
    outcome = await calls.post_auth(call, make_request())
    assert outcome.request is not None
    return outcome.request.headers["X-Version"]


async def test_a_call_keeps_what_it_holds_through_a_change_and_it_stops_when_it_is_released(
    host_of: HostOf, plugin: Plugin, call: CallInfo
) -> None:
    host = host_of()
    await host.apply(Snapshot(1, [plugin]), AT_ONCE)
    held = host.hold(1)
    assert held is not None
    await host.apply(Snapshot(2, [changed(plugin, version="2")]), AT_ONCE)
    assert await version_of(held.calls, call) == "1"
    assert await version_of(host.get(1), call) == "2"
    assert Versioned.stopped == ()
    held.release()
    while not held.over:
        await asyncio.sleep(0)
    await host.close()
    assert sorted(Versioned.stopped) == ["1", "2"]


async def test_a_host_that_closes_does_not_wait_for_what_is_held(
    host_of: HostOf, plugin: Plugin, call: CallInfo
) -> None:
    host = host_of()
    await host.apply(Snapshot(1, [plugin]), AT_ONCE)
    held = host.hold(1)
    assert held is not None
    await host.close()
    assert held.over


async def test_an_override_that_is_not_ready_yet_is_stood_in_for_by_the_one_before(
    host_of: HostOf, plugin: Plugin, call: CallInfo
) -> None:
    host, slow = host_of(), {"version": "2", "slow": True}
    await host.apply(Snapshot(1, [plugin, attached(version="1.5")]), AT_ONCE)
    await host.apply(Snapshot(2, [plugin, attached(**slow)]), 0)
    assert host.hold(1, slow) is None
    held = host.hold(1, slow, [{"version": "1.5"}])
    assert held is not None
    assert await version_of(held.calls, call) == "1.5"
    Versioned.slow.set()
    await host.apply(Snapshot(3, [plugin, attached(**slow)]), AT_ONCE)
    held = host.hold(1, slow, [{"version": "1.5"}])
    assert held is not None
    assert await version_of(held.calls, call) == "2"


async def test_what_lingers_serves_no_new_calls_when_the_plugin_comes_back_changed(
    host_of: HostOf, plugin: Plugin, call: CallInfo, sleep: HeldSleep
) -> None:
    host = host_of()
    await host.apply(Snapshot(1, [plugin]), AT_ONCE)
    held = host.hold(1)
    assert held is not None
    await host.apply(Snapshot(2), 0)
    assert await version_of(host.get(1), call) == "1"
    await host.apply(Snapshot(3, [changed(plugin, version="2", slow=True)]), 0)
    assert host.hold(1) is None
    with pytest.raises(PluginNotReadyError, match="is starting"):
        await version_of(host.get(1), call)
    assert await version_of(held.calls, call) == "1"
    held.release()
    Versioned.slow.set()
    await host.apply(Snapshot(4, [changed(plugin, version="2", slow=True)]), AT_ONCE)
    assert await version_of(host.get(1), call) == "2"
