"""One instance of a plugin for each configuration that an attachment gives it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from weir_core.objects import Attachment, Llm, Plugin
from weir_core.snapshot import Snapshot
from weir_host.calls import CallInfo
from weir_host.host import PluginHost
from weir_sdk import BasePlugin, Context, Request
from weir_sdk.testing import make_request

HostOf = Callable[..., PluginHost]
CommandOf = Callable[[type], str]
AT_ONCE = 5.0


class Configured(BasePlugin):
    """Shows its configuration."""

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        if "key" not in config:
            raise ValueError("no key")
        self.config = config

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        request.headers["X-Config"] = repr(sorted(self.config.items()))


@pytest.fixture
def plugin(command_of: CommandOf) -> Plugin:
    return Plugin(
        id=1,
        name="configured",
        slug="configured",
        command=command_of(Configured),
        hook_types=("post_auth",),
        config={"key": "own", "deep": {"a": 1, "b": 2}},
    )


def attached(*overrides: dict[str, Any], is_active: bool = True) -> list[Llm]:
    """An LLM for each override."""
    return [
        Llm(
            id=number,
            name="m",
            slug=f"m{number}",
            vendor="openai",
            api_endpoint="",
            is_active=is_active,
            attachments=(Attachment(plugin_id=1, config_override=override),),
        )
        for number, override in enumerate(overrides, 1)
    ]


async def config_of(host: PluginHost, call: CallInfo, override: dict[str, Any] | None = None) -> str | None:
    instance = host.get(1, override)
    if instance is None:
        return None
    outcome = await instance.post_auth(call, make_request())
    assert outcome.request is not None
    return outcome.request.headers["X-Config"]


async def test_each_override_has_an_instance_that_is_merged_at_the_top_level(
    host_of: HostOf, plugin: Plugin, call: CallInfo
) -> None:
    host = host_of()
    await host.apply(Snapshot(1, [plugin, *attached({}, {"key": "b"}, {"deep": {"c": 3}})]), AT_ONCE)
    assert await config_of(host, call) == "[('deep', {'a': 1, 'b': 2}), ('key', 'own')]"
    assert await config_of(host, call, {}) == "[('deep', {'a': 1, 'b': 2}), ('key', 'own')]"
    assert await config_of(host, call, {"key": "b"}) == "[('deep', {'a': 1, 'b': 2}), ('key', 'b')]"
    assert await config_of(host, call, {"deep": {"c": 3}}) == "[('deep', {'c': 3}), ('key', 'own')]"
    assert await config_of(host, call, {"key": "not attached"}) is None


async def test_equal_overrides_share_an_instance_and_types_tell_them_apart(
    host_of: HostOf, plugin: Plugin
) -> None:
    host = host_of()
    same = [{"key": 1, "size": {"a": 1, "b": 2}}, {"size": {"b": 2, "a": 1}, "key": 1}]
    await host.apply(
        Snapshot(1, [plugin, *attached(*same, {"key": True, "size": {"a": 1, "b": 2}})]), AT_ONCE
    )
    assert host.get(1, same[0]) is host.get(1, same[1])
    assert host.get(1, same[0]) is not host.get(1, {"key": True, "size": {"a": 1, "b": 2}})


async def test_a_plugin_that_is_only_attached_with_overrides_needs_no_valid_config_of_its_own(
    host_of: HostOf, plugin: Plugin, call: CallInfo, command_of: CommandOf
) -> None:
    bare = Plugin(id=1, name="p", slug="p", command=plugin.command, hook_types=("post_auth",))
    host = host_of()
    await host.apply(Snapshot(1, [bare, *attached({"key": "a"})]), AT_ONCE)
    assert host.states()[1].state == "ready"
    assert host.get(1) is None
    await host.apply(Snapshot(2, [bare]), AT_ONCE)
    assert host.states()[1].state == "failed"


async def test_the_state_is_that_of_the_worst_instance(host_of: HostOf, plugin: Plugin) -> None:
    bare = Plugin(id=1, name="p", slug="p", command=plugin.command, hook_types=("post_auth",))
    host = host_of()
    await host.apply(Snapshot(1, [bare, *attached({"key": "a"}, {"other": 1})]), AT_ONCE)
    assert host.states()[1].state == "failed"
    assert "no key" in host.states()[1].reason


async def test_an_override_that_nobody_uses_any_more_lingers_then_stops(
    host_of: HostOf, plugin: Plugin, call: CallInfo, sleep: Any
) -> None:
    host = host_of()
    await host.apply(Snapshot(1, [plugin, *attached({}, {"key": "b"})]), AT_ONCE)
    await host.apply(Snapshot(2, [plugin, *attached({})]), AT_ONCE)
    assert await config_of(host, call, {"key": "b"}) == "[('deep', {'a': 1, 'b': 2}), ('key', 'b')]"
    await sleep.wake_next()
    while host.get(1, {"key": "b"}) is not None:
        await asyncio.sleep(0)
    assert await config_of(host, call) is not None


async def test_a_changed_config_reaches_every_instance(
    host_of: HostOf, plugin: Plugin, call: CallInfo
) -> None:
    host = host_of()
    await host.apply(Snapshot(1, [plugin, *attached({"key": "b"})]), AT_ONCE)
    changed = Plugin(
        id=1, name="p", slug="p", command=plugin.command, hook_types=("post_auth",), config={"new": 1}
    )
    await host.apply(Snapshot(2, [changed, *attached({"key": "b"})]), AT_ONCE)
    assert await config_of(host, call, {"key": "b"}) == "[('key', 'b'), ('new', 1)]"


async def test_an_llm_that_is_off_wants_nothing(host_of: HostOf, plugin: Plugin) -> None:
    host = host_of()
    await host.apply(Snapshot(1, [plugin, *attached({"key": "b"}, is_active=False)]), AT_ONCE)
    assert host.get(1, {"key": "b"}) is None
    assert host.get(1) is not None


async def test_collectors_run_once_whatever_they_are_attached_to(
    host_of: HostOf, plugin: Plugin, command_of: CommandOf
) -> None:
    class Collector(Configured):
        async def handle_proxy_log(self, ctx: Context, log: Any) -> None: ...

    host = host_of(hook_types=frozenset({"data_collection"}))
    collector = Plugin(
        id=1,
        name="c",
        slug="c",
        command=command_of(Collector),
        hook_types=("data_collection",),
        config={"key": "own"},
    )
    await host.apply(Snapshot(1, [collector, *attached({"key": "b"})]), AT_ONCE)
    assert host.get(1) is not None
    assert host.get(1, {"key": "b"}) is None
