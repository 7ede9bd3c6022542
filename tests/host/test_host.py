from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot
from weir_host.calls import CallInfo
from weir_host.errors import PluginNotReadyError
from weir_host.host import PluginHost
from weir_host.instance import Instance
from weir_host.limits import HostLimits
from weir_sdk import BasePlugin, Context, PluginResponse, Request
from weir_sdk.testing import RecordingLogger, make_proxy_log, make_request, make_response

CommandOf = Callable[[type], str]
HostOf = Callable[..., PluginHost]
AT_ONCE = 5.0
"""Long enough for anything that a test expects to be ready."""


class Tagger(BasePlugin):
    """Marks requests with its configured tag, and keeps a diary."""

    diary: ClassVar[list[str]] = []

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        if config.get("hang"):
            self.diary.append("hangs")
            await asyncio.Event().wait()
        if config.get("fail"):
            self.diary.append("fails")
            raise ValueError("bad config")
        self.tag = config.get("tag", "plain")
        self.diary.append(f"start {self.tag}")

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        request.headers["X-Tag"] = str(self.tag)

    async def shutdown(self, ctx: Context) -> None:
        self.diary.append(f"stop {self.tag}")


@pytest.fixture(autouse=True)
def diary(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(Tagger, "diary", [])
    return Tagger.diary


@pytest.fixture
def tagger(command_of: CommandOf) -> Callable[..., Plugin]:
    command = command_of(Tagger)

    def make(plugin_id: int = 1, **changes: Any) -> Plugin:
        fields: dict[str, Any] = {
            "id": plugin_id,
            "name": f"Tagger {plugin_id}",
            "slug": f"tagger-{plugin_id}",
            "command": command,
            "hook_types": ("post_auth",),
        }
        return Plugin(**{**fields, **changes})

    return make


async def tag_of(instance: Instance | None, call: CallInfo) -> str:
    assert instance is not None
    outcome = await instance.post_auth(call, make_request())
    assert outcome.request is not None
    return outcome.request.headers["X-Tag"]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


class TestStarting:
    """From a wish to a plugin that serves, or does not."""

    async def test_what_a_snapshot_wants_is_started(
        self, host_of: HostOf, tagger: Callable[..., Plugin], call: CallInfo
    ) -> None:
        host = host_of()
        await host.apply(
            Snapshot(1, [tagger(1, config={"tag": "a"}), tagger(2, config={"tag": "b"})]), AT_ONCE
        )
        assert {key: state.state for key, state in host.states().items()} == {1: "ready", 2: "ready"}
        assert await tag_of(host.get(1), call) == "a"
        assert await tag_of(host.get(2), call) == "b"

    @pytest.mark.parametrize(
        "changes", [{"is_active": False}, {"runtime": "studio"}, {"hook_types": ("data_collection",)}]
    )
    async def test_what_this_process_does_not_host_is_not(
        self, host_of: HostOf, tagger: Callable[..., Plugin], diary: list[str], changes: dict[str, Any]
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(1, **changes)]), AT_ONCE)
        assert host.get(1) is None
        assert host.states() == {}
        assert diary == []

    async def test_it_is_known_by_its_admins_name(
        self, host_of: HostOf, tagger: Callable[..., Plugin]
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(5)]), AT_ONCE)
        instance = host.get(5)
        assert instance is not None
        assert (instance.plugin_id, instance.name, instance.state, instance.reason) == (
            5,
            "Tagger 5",
            "ready",
            "",
        )

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"config": {"fail": True}}, "initialize failed: ValueError: bad config"),
            ({"command": "python://module_that_is_not_there:P"}, "No module named"),
            ({"command": "grpc://10.0.0.5:7000"}, "not supported yet"),
            ({"command": "file:///opt/plugin-that-is-not-there"}, "cannot be opened: No such file"),
            ({"command": "rubbish"}, "not a plugin command"),
            ({"hook_types": ("post_auth", "auth")}, "hook type auth is declared"),
        ],
    )
    async def test_what_cannot_start_has_failed_and_says_why(
        self, host_of: HostOf, tagger: Callable[..., Plugin], changes: dict[str, Any], reason: str
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(1, **changes), tagger(2)]), AT_ONCE)
        assert host.states()[1].state == "failed"
        assert reason in host.states()[1].reason
        assert host.states()[2].state == "ready"

    async def test_a_module_that_is_not_allowed_does_not_start(
        self, host_of: HostOf, tagger: Callable[..., Plugin]
    ) -> None:
        host = host_of(plugin_modules=["acme"])
        await host.apply(Snapshot(1, [tagger()]), AT_ONCE)
        assert "not among the plugin_modules" in host.states()[1].reason

    async def test_what_takes_too_long_has_failed(
        self, host_of: HostOf, tagger: Callable[..., Plugin]
    ) -> None:
        host = host_of(limits=HostLimits(start_s=0.01, cancel_grace_s=0.01))
        await host.apply(Snapshot(1, [tagger(config={"hang": True})]), AT_ONCE)
        assert host.states()[1].state == "failed"
        assert host.states()[1].reason == "it was not ready after 0.01 s"

    async def test_one_that_hangs_holds_up_no_other(
        self, host_of: HostOf, tagger: Callable[..., Plugin], call: CallInfo
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(1, config={"hang": True}), tagger(2)]), 0.05)
        assert host.states()[1].state == "starting"
        assert await tag_of(host.get(2), call) == "plain"

    @pytest.mark.parametrize("config", [{"hang": True}, {"fail": True}])
    async def test_a_guard_that_is_not_ready_raises_in_every_hook(
        self, host_of: HostOf, tagger: Callable[..., Plugin], call: CallInfo, config: dict[str, Any]
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(config=config)]), 0.02)
        instance = host.get(1)
        assert instance is not None
        assert instance.implements("post_auth")
        assert instance.implements("handle_post_auth")
        assert not instance.implements("auth")
        request, response = make_request(), make_response()
        for answer in (
            instance.pre_auth(call, request),
            instance.auth(call, request),
            instance.post_auth(call, request),
            instance.response_headers(call, response),
            instance.response_body(call, response),
            instance.proxy_log(make_proxy_log()),
            instance.batch([make_proxy_log()]),
        ):
            with pytest.raises(PluginNotReadyError, match=r"'Tagger 1' is (starting|failed)"):
                await answer


class TestRetrying:
    """A failed start is tried again."""

    async def test_pauses_double_up_to_a_minute(
        self, host_of: HostOf, tagger: Callable[..., Plugin], sleep: Any, diary: list[str]
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(config={"fail": True})]), AT_ONCE)
        for _ in range(8):
            await sleep.wake_next()
        await until(lambda: len(sleep.lengths) == 9)
        assert sleep.lengths == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        assert diary == ["fails"] * 9

    async def test_a_retry_that_succeeds_serves(
        self, host_of: HostOf, command_of: CommandOf, tagger: Callable[..., Plugin], sleep: Any, clock: Any
    ) -> None:
        outcomes = [OSError("not yet"), None]

        class Late(Tagger):
            async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
                error = outcomes.pop(0)
                if error is not None:
                    raise error
                self.tag = "late"

        host = host_of()
        await host.apply(Snapshot(1, [tagger(command=command_of(Late))]), AT_ONCE)
        assert host.states()[1].state == "failed"
        clock.now_us += 1
        await sleep.wake_next()
        await until(lambda: host.states()[1].state == "ready")
        assert host.states()[1].reason == ""
        assert host.states()[1].since_us == clock.now_us

    async def test_while_it_is_tried_again_its_failure_still_shows(
        self, host_of: HostOf, command_of: CommandOf, tagger: Callable[..., Plugin], sleep: Any
    ) -> None:
        tried_again = asyncio.Event()

        class FailsThenHangs(Tagger):
            async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
                if not self.diary:
                    self.diary.append("fails")
                    raise ValueError("bad config")
                tried_again.set()
                await asyncio.Event().wait()

        host = host_of()
        await host.apply(Snapshot(1, [tagger(command=command_of(FailsThenHangs))]), AT_ONCE)
        await sleep.wake_next()
        await tried_again.wait()
        assert host.states()[1].state == "failed"
        assert "bad config" in host.states()[1].reason

    async def test_a_mended_config_is_tried_at_once(
        self, host_of: HostOf, tagger: Callable[..., Plugin], call: CallInfo
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(config={"fail": True})]), AT_ONCE)
        await host.apply(Snapshot(2, [tagger(config={"tag": "mended"})]), AT_ONCE)
        assert await tag_of(host.get(1), call) == "mended"

    async def test_an_unrelated_change_does_not_cut_the_pause_short(
        self, host_of: HostOf, tagger: Callable[..., Plugin], sleep: Any, diary: list[str]
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(1, config={"fail": True})]), AT_ONCE)
        await host.apply(Snapshot(2, [tagger(1, config={"fail": True}), tagger(2)]), AT_ONCE)
        assert diary == ["fails", "start plain"]
        assert sleep.lengths == [1]


class TestChanging:
    """A change starts a new instance; the old one serves until that is ready."""

    @pytest.mark.parametrize(("before", "after"), [("a", "b"), (1, True), (1, 1.0), ({"x": 1}, {"x": True})])
    async def test_a_changed_config_takes_a_new_instance(
        self,
        host_of: HostOf,
        tagger: Callable[..., Plugin],
        call: CallInfo,
        diary: list[str],
        before: Any,
        after: Any,
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(config={"tag": before})]), AT_ONCE)
        held = host.get(1)
        await host.apply(Snapshot(2, [tagger(config={"tag": after})]), AT_ONCE)
        assert host.get(1) is held
        assert await tag_of(held, call) == str(after)
        await until(lambda: len(diary) == 3)
        assert diary == [f"start {before}", f"start {after}", f"stop {before}"]

    async def test_what_does_not_concern_the_instance_keeps_it(
        self, host_of: HostOf, tagger: Callable[..., Plugin], diary: list[str]
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger()]), AT_ONCE)
        await host.apply(Snapshot(2, [tagger()]), AT_ONCE)
        await host.apply(Snapshot(3, [tagger(description="new", required_for_ready=True)]), AT_ONCE)
        assert diary == ["start plain"]
        assert host.states()[1].state == "ready"

    async def test_a_higher_generation_is_started_anew_and_the_old_one_drained(
        self, host_of: HostOf, command_of: CommandOf, tagger: Callable[..., Plugin], call: CallInfo
    ) -> None:
        story: list[str] = []
        entered, release = asyncio.Event(), asyncio.Event()

        class Numbered(BasePlugin):
            async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
                self.number = sum(entry.startswith("start") for entry in story) + 1
                story.append(f"start {self.number}")

            async def handle_post_auth(self, ctx: Context, request: Request) -> None:
                request.headers["X-Tag"] = str(self.number)
                if self.number == 1:
                    entered.set()
                    await release.wait()
                    story.append("call on 1")

            async def shutdown(self, ctx: Context) -> None:
                story.append(f"stop {self.number}")

        host, command = host_of(), command_of(Numbered)
        await host.apply(Snapshot(1, [tagger(command=command)]), AT_ONCE)
        in_flight = asyncio.ensure_future(tag_of(host.get(1), call))
        await entered.wait()
        await host.apply(Snapshot(2, [tagger(command=command, generation=2)]), AT_ONCE)
        assert await tag_of(host.get(1), call) == "2"
        assert story == ["start 1", "start 2"]
        release.set()
        assert await in_flight == "1"
        await until(lambda: len(story) == 4)
        assert story[2:] == ["call on 1", "stop 1"]

    async def test_while_the_new_one_starts_the_old_one_serves(
        self, host_of: HostOf, tagger: Callable[..., Plugin], call: CallInfo
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(config={"tag": "old"})]), AT_ONCE)
        await host.apply(Snapshot(2, [tagger(config={"hang": True})]), 0.02)
        assert host.states()[1].state == "ready"
        assert await tag_of(host.get(1), call) == "old"

    async def test_a_change_that_cannot_start_leaves_the_old_one_serving(
        self, host_of: HostOf, tagger: Callable[..., Plugin], call: CallInfo, logger: RecordingLogger
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(config={"tag": "old"})]), AT_ONCE)
        await host.apply(Snapshot(2, [tagger(config={"fail": True})]), AT_ONCE)
        assert host.states()[1].state == "degraded"
        assert "bad config" in host.states()[1].reason
        assert await tag_of(host.get(1), call) == "old"
        assert [line.values for line in logger.lines if line.level == "warning"] == [
            {"plugin": "Tagger 1", "state": "degraded", "reason": host.states()[1].reason}
        ]

    async def test_taking_a_failed_change_back_is_ready_again_without_a_new_start(
        self, host_of: HostOf, tagger: Callable[..., Plugin], diary: list[str]
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(config={"tag": "old"})]), AT_ONCE)
        await host.apply(Snapshot(2, [tagger(config={"fail": True})]), AT_ONCE)
        await host.apply(Snapshot(3, [tagger(config={"tag": "old"})]), AT_ONCE)
        assert host.states()[1].state == "ready"
        assert diary == ["start old", "fails"]

    async def test_a_call_in_flight_ends_on_the_old_one_before_it_stops(
        self, host_of: HostOf, command_of: CommandOf, tagger: Callable[..., Plugin], call: CallInfo
    ) -> None:
        story: list[str] = []
        entered, release = asyncio.Event(), asyncio.Event()

        class Slow(Tagger):
            async def handle_post_auth(self, ctx: Context, request: Request) -> None:
                entered.set()
                await release.wait()
                request.headers["X-Tag"] = str(self.tag)
                story.append(f"call on {self.tag}")

            async def shutdown(self, ctx: Context) -> None:
                story.append(f"stop {self.tag}")

        host, command = host_of(), command_of(Slow)
        await host.apply(Snapshot(1, [tagger(command=command, config={"tag": "old"})]), AT_ONCE)
        in_flight = asyncio.ensure_future(tag_of(host.get(1), call))
        await entered.wait()
        await host.apply(Snapshot(2, [tagger(command=command, config={"tag": "new"})]), AT_ONCE)
        assert story == []
        release.set()
        assert await in_flight == "old"
        assert await tag_of(host.get(1), call) == "new"
        await until(lambda: "stop old" in story)
        assert story.index("call on old") < story.index("stop old")

    async def test_who_waits_for_a_turn_on_the_old_one_gets_it_on_the_new_one(
        self, host_of: HostOf, command_of: CommandOf, tagger: Callable[..., Plugin]
    ) -> None:
        class Plain(BasePlugin):
            def handle_post_auth(self, ctx: Context, request: Request) -> None: ...

        host, command = host_of(limits=HostLimits(threads_per_plugin=1)), command_of(Plain)
        await host.apply(Snapshot(1, [tagger(command=command)]), AT_ONCE)
        instance = host.get(1)
        assert instance is not None
        entered: list[int] = []
        leave = [asyncio.Event(), asyncio.Event()]

        async def take(number: int) -> None:
            async with instance.turn("handle_post_auth"):
                entered.append(number)
                await leave[number].wait()

        old, new = asyncio.ensure_future(take(0)), asyncio.ensure_future(take(1))
        await until(lambda: entered == [0])
        await host.apply(Snapshot(2, [tagger(command=command, generation=2)]), AT_ONCE)
        leave[0].set()
        await until(lambda: entered == [0, 1])
        last = asyncio.ensure_future(take(1))
        await asyncio.sleep(0)
        assert entered == [0, 1]
        leave[1].set()
        await asyncio.gather(old, new, last)

    async def test_what_does_not_serve_needs_no_turn(
        self, host_of: HostOf, tagger: Callable[..., Plugin], call: CallInfo
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(config={"fail": True})]), AT_ONCE)
        instance = host.get(1)
        assert instance is not None
        async with instance.turn("handle_post_auth"):
            with pytest.raises(PluginNotReadyError):
                await instance.post_auth(call, make_request())

    async def test_the_newest_of_several_snapshots_counts(
        self, host_of: HostOf, tagger: Callable[..., Plugin], call: CallInfo, diary: list[str]
    ) -> None:
        host = host_of()
        first = asyncio.ensure_future(host.apply(Snapshot(1, [tagger(config={"hang": True})]), AT_ONCE))
        await until(lambda: diary == ["hangs"])
        second = asyncio.ensure_future(host.apply(Snapshot(2, [tagger(config={"hang": 2})]), AT_ONCE))
        await asyncio.sleep(0)
        await host.apply(Snapshot(3, [tagger(config={"tag": "newest"})]), AT_ONCE)
        await asyncio.gather(first, second)
        assert await tag_of(host.get(1), call) == "newest"

    async def test_an_apply_that_is_cancelled_goes_on_without_its_caller(
        self, host_of: HostOf, command_of: CommandOf, tagger: Callable[..., Plugin]
    ) -> None:
        release = asyncio.Event()

        class Slow(Tagger):
            async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
                await release.wait()
                self.tag = "slow"

        host = host_of()
        applying = asyncio.ensure_future(host.apply(Snapshot(1, [tagger(command=command_of(Slow))]), AT_ONCE))
        await until(lambda: host.get(1) is not None)
        applying.cancel()
        await asyncio.wait((applying,))
        release.set()
        await until(lambda: host.states()[1].state == "ready")


class TestLeaving:
    """What nobody wants any more lingers for requests that began before, then stops."""

    async def test_it_serves_until_its_time_is_over(
        self, host_of: HostOf, tagger: Callable[..., Plugin], call: CallInfo, sleep: Any, diary: list[str]
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger()]), AT_ONCE)
        await host.apply(Snapshot(2), AT_ONCE)
        assert host.states() == {}
        assert await tag_of(host.get(1), call) == "plain"
        held = host.get(1)
        await sleep.wake_next()
        await until(lambda: host.get(1) is None)
        assert sleep.lengths == [300]
        assert diary == ["start plain", "stop plain"]
        assert held is not None
        assert held.state == "stopped"
        with pytest.raises(PluginNotReadyError, match="is stopped"):
            await held.post_auth(call, make_request())

    async def test_wanted_again_meanwhile_it_goes_on(
        self, host_of: HostOf, tagger: Callable[..., Plugin], sleep: Any, diary: list[str]
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger()]), AT_ONCE)
        await host.apply(Snapshot(2), AT_ONCE)
        await until(lambda: sleep.lengths == [300])
        await host.apply(Snapshot(3, [tagger()]), AT_ONCE)
        await sleep.wake_next()
        assert host.states()[1].state == "ready"
        assert diary == ["start plain"]

    async def test_wanted_again_afterwards_it_starts_anew(
        self, host_of: HostOf, tagger: Callable[..., Plugin], call: CallInfo, sleep: Any, diary: list[str]
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger()]), AT_ONCE)
        await host.apply(Snapshot(2), AT_ONCE)
        await sleep.wake_next()
        await until(lambda: "stop plain" in diary)
        await host.apply(Snapshot(3, [tagger()]), AT_ONCE)
        assert await tag_of(host.get(1), call) == "plain"
        assert diary.count("start plain") == 2

    async def test_one_that_never_started_just_goes(
        self, host_of: HostOf, tagger: Callable[..., Plugin], sleep: Any
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [tagger(config={"hang": True})]), 0.02)
        await host.apply(Snapshot(2), AT_ONCE)
        await sleep.wake_next()
        await until(lambda: host.get(1) is None)

    async def test_closing_stops_everything_and_waits_for_it(
        self, host_of: HostOf, tagger: Callable[..., Plugin], diary: list[str]
    ) -> None:
        host = host_of()
        plugins = [tagger(1), tagger(2, config={"hang": True}), tagger(3, config={"fail": True})]
        await host.apply(Snapshot(1, [*plugins, tagger(4, config={"tag": "leaving"})]), 0.02)
        await host.apply(Snapshot(2, plugins), 0.02)
        await host.close()
        assert sorted(entry for entry in diary if entry.startswith("stop")) == ["stop leaving", "stop plain"]
        assert [host.get(plugin_id) for plugin_id in (1, 2, 3, 4)] == [None] * 4

    async def test_closing_leaves_no_task_behind(
        self, host_of: HostOf, tagger: Callable[..., Plugin], call: CallInfo
    ) -> None:
        before = asyncio.all_tasks()
        host = host_of()
        await host.apply(Snapshot(1, [tagger()]), AT_ONCE)
        await tag_of(host.get(1), call)
        await host.close()
        await until(lambda: asyncio.all_tasks() == before)


async def test_plugins_see_where_they_run(
    host_of: HostOf, command_of: CommandOf, tagger: Callable[..., Plugin]
) -> None:
    seen: list[tuple[str, str, str]] = []

    class Curious(Tagger):
        async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
            seen.append((ctx.runtime, ctx.edge_id, ctx.edge_namespace))

    await host_of().apply(Snapshot(1, [tagger(command=command_of(Curious))]), AT_ONCE)
    assert seen == [("gateway", "edge-1", "eu")]


async def test_plugins_read_the_snapshot_that_is_in_force(
    host_of: HostOf, command_of: CommandOf, tagger: Callable[..., Plugin], call: CallInfo
) -> None:
    class Reader(Tagger):
        async def initialize(self, ctx: Context, config: dict[str, Any]) -> None: ...

        async def handle_post_auth(self, ctx: Context, request: Request) -> Any:
            apps = await ctx.services.gateway.list_apps()
            return PluginResponse(block=True, error_message=str(len(apps)))

    host = host_of()
    plugin = tagger(command=command_of(Reader), service_scopes=("apps.read",))
    await host.apply(Snapshot(1, [plugin]), AT_ONCE)
    instance = host.get(1)
    assert instance is not None
    outcome = await instance.post_auth(call, make_request())
    assert outcome.block is not None
    assert outcome.block.error_message == "0"
