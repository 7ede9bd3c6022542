from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from weir_host.calls import CallInfo
from weir_host.errors import (
    PluginCallError,
    PluginError,
    PluginNotReadyError,
    PluginProtocolError,
    PluginStartError,
    PluginTimeoutError,
)
from weir_host.in_process import InProcessPlugin
from weir_host.invoke import call_with_deadline
from weir_host.limits import HostLimits
from weir_sdk import (
    Analytics,
    BasePlugin,
    BudgetUsage,
    Context,
    Credential,
    DataCollectionResponse,
    Event,
    PermanentError,
    PluginResponse,
    ProxyLog,
    Request,
    Response,
    inline,
)
from weir_sdk.testing import (
    RecordingLogger,
    make_analytics,
    make_budget_usage,
    make_proxy_log,
    make_request,
    make_response,
)

Start = Callable[..., Awaitable[InProcessPlugin]]


async def forever() -> None:
    await asyncio.Event().wait()


class TestRequestHooks:
    """pre_auth, auth and post_auth."""

    async def test_a_handler_changes_a_copy(self, start: Start, call: CallInfo) -> None:
        class Enricher(BasePlugin):
            async def handle_post_auth(self, ctx: Context, request: Request) -> None:
                request.headers["x-app"] = str(ctx.app_id)

        request = make_request()
        outcome = await (await start(Enricher)).post_auth(call, request)
        assert outcome.request is not None
        assert outcome.request.headers["X-App"] == "7"
        assert "X-App" not in request.headers

    async def test_a_plain_function_runs_in_a_thread(self, start: Start, call: CallInfo) -> None:
        class Blocking(BasePlugin):
            def handle_pre_auth(self, ctx: Context, request: Request) -> None:
                request.headers["X-Thread"] = threading.current_thread().name

        outcome = await (await start(Blocking)).pre_auth(call, make_request())
        assert outcome.request is not None
        assert outcome.request.headers["X-Thread"].startswith("weir-plugin-under-test")

    async def test_an_inline_function_runs_in_the_loop(self, start: Start, call: CallInfo) -> None:
        class Quick(BasePlugin):
            @inline
            def handle_pre_auth(self, ctx: Context, request: Request) -> None:
                request.headers["X-Thread"] = threading.current_thread().name

        outcome = await (await start(Quick)).pre_auth(call, make_request())
        assert outcome.request is not None
        assert outcome.request.headers["X-Thread"] == threading.current_thread().name

    async def test_a_coroutine_from_a_plain_function_is_awaited(self, start: Start, call: CallInfo) -> None:
        class Wrapped(BasePlugin):
            def handle_pre_auth(self, ctx: Context, request: Request) -> Any:
                return self._decide()

            @inline
            def handle_post_auth(self, ctx: Context, request: Request) -> Any:
                return asyncio.ensure_future(self._decide())

            async def _decide(self) -> PluginResponse:
                await asyncio.sleep(0)
                return PluginResponse(block=True)

        plugin = await start(Wrapped)
        assert (await plugin.pre_auth(call, make_request())).block is not None
        assert (await plugin.post_auth(call, make_request())).block is not None

    async def test_an_auth_handler_names_the_caller(self, start: Start, call: CallInfo) -> None:
        class Auth(BasePlugin):
            async def handle_auth(self, ctx: Context, request: Request) -> PluginResponse:
                request.path = "/changed"
                ctx.metadata["via"] = "sso"
                return PluginResponse(modified=True, credential=Credential(user_id="ada"))

        outcome = await (await start(Auth)).auth(call, make_request())
        assert outcome.credential == Credential(user_id="ada")
        assert outcome.request is None
        assert call.metadata == {"kept": "yes", "via": "sso"}

    async def test_metadata_and_updates_reach_the_call(self, start: Start, call: CallInfo) -> None:
        class Noter(BasePlugin):
            async def handle_pre_auth(self, ctx: Context, request: Request) -> PluginResponse:
                ctx.metadata["a"] = "1"
                return PluginResponse(context_updates={"b": "2"})

        outcome = await (await start(Noter)).pre_auth(call, make_request())
        assert call.metadata == {"kept": "yes", "a": "1", "b": "2"}
        assert outcome.context_updates == {"b": "2"}

    async def test_a_failed_handler_leaves_no_trace(self, start: Start, call: CallInfo) -> None:
        class Fails(BasePlugin):
            async def handle_post_auth(self, ctx: Context, request: Request) -> None:
                ctx.metadata["a"] = "1"
                request.body = b"changed"
                raise ValueError("no")

        request = make_request(body=b"{}")
        with pytest.raises(PluginCallError):
            await (await start(Fails)).post_auth(call, request)
        assert call.metadata == {"kept": "yes"}
        assert request.body == b"{}"


class TestFailures:
    """A guard that fails is always a typed error, never an answer."""

    @pytest.mark.parametrize("hook", ["pre_auth", "auth", "post_auth"])
    @pytest.mark.parametrize("kind", ["async", "threaded", "inline"])
    @pytest.mark.parametrize(
        ("error", "said", "retryable"),
        [
            (ValueError, "raised ValueError: no", True),
            (PermanentError, "raised PermanentError: no", False),
            (SystemExit, r"raised HandlerQuitError: it called sys\.exit\('no'\)", True),
            (asyncio.CancelledError, "cancelled|CancelledError", True),
            (StopIteration, "StopIteration", True),
        ],
    )
    async def test_raising(
        self,
        start: Start,
        call: CallInfo,
        hook: str,
        kind: str,
        error: type[BaseException],
        said: str,
        retryable: bool,
    ) -> None:
        def raises(self: BasePlugin, ctx: Context, request: Request) -> None:
            raise error("no")

        async def raises_later(self: BasePlugin, ctx: Context, request: Request) -> None:
            raise error("no")

        handler: Any = {"async": raises_later, "threaded": raises, "inline": raises}[kind]
        if kind == "inline":
            handler = inline(handler)
        plugin = await start(type("Guard", (BasePlugin,), {f"handle_{hook}": handler}))
        with pytest.raises(PluginCallError, match=said) as failure:
            await getattr(plugin, hook)(call, make_request())
        assert failure.value.retryable is retryable
        assert f"'under test': handle_{hook}" in str(failure.value)

    @pytest.mark.parametrize("hook", ["pre_auth", "auth", "post_auth"])
    @pytest.mark.parametrize("answer", [True, "ok", PluginResponse(block=True, status_code=42), Request()])
    async def test_rubbish(self, start: Start, call: CallInfo, hook: str, answer: object) -> None:
        async def answers(self: BasePlugin, ctx: Context, request: Request) -> object:
            return answer

        plugin = await start(type("Guard", (BasePlugin,), {f"handle_{hook}": answers}))
        with pytest.raises(PluginProtocolError, match=f"handle_{hook} ") as failure:
            await getattr(plugin, hook)(call, make_request())
        assert not failure.value.retryable

    async def test_a_handler_with_the_wrong_arguments(self, start: Start, call: CallInfo) -> None:
        class Guard(BasePlugin):
            async def handle_pre_auth(self) -> None: ...

        with pytest.raises(PluginCallError, match="TypeError"):
            await (await start(Guard)).pre_auth(call, make_request())

    @pytest.mark.parametrize("hook", ["pre_auth", "auth", "post_auth"])
    async def test_hanging_in_a_coroutine(self, start: Start, call: CallInfo, hook: str) -> None:
        async def hangs(self: BasePlugin, ctx: Context, request: Request) -> None:
            await forever()

        plugin = await start(type("Guard", (BasePlugin,), {f"handle_{hook}": hangs}))
        loop = asyncio.get_running_loop()
        with pytest.raises(PluginTimeoutError):
            await call_with_deadline(getattr(plugin, hook)(call, make_request()), loop.time() + 0.01, loop)

    async def test_hanging_in_a_thread(self, start: Start, call: CallInfo) -> None:
        release = threading.Event()

        class Guard(BasePlugin):
            def handle_pre_auth(self, ctx: Context, request: Request) -> None:
                release.wait(60)

        plugin = await start(Guard)
        loop = asyncio.get_running_loop()
        with pytest.raises(PluginTimeoutError):
            await call_with_deadline(plugin.pre_auth(call, make_request()), loop.time() + 0.01, loop)
        assert plugin.abandoned == 1
        release.set()

    async def test_an_answer_after_the_deadline_has_no_effect(self, start: Start, call: CallInfo) -> None:
        late = asyncio.Event()

        class Guard(BasePlugin):
            async def handle_post_auth(self, ctx: Context, request: Request) -> None:
                try:
                    await forever()
                except asyncio.CancelledError:
                    request.headers["X-Late"] = "yes"
                    ctx.metadata["late"] = "yes"
                    late.set()

        plugin = await start(Guard)
        loop, request = asyncio.get_running_loop(), make_request()
        with pytest.raises(PluginTimeoutError):
            await call_with_deadline(plugin.post_auth(call, request), loop.time() + 0.01, loop)
        await late.wait()
        assert "late" not in call.metadata
        assert "X-Late" not in request.headers

    async def test_a_hook_that_is_not_served(self, start: Start, call: CallInfo) -> None:
        class PreAuthOnly(BasePlugin):
            async def handle_pre_auth(self, ctx: Context, request: Request) -> None: ...

        plugin = await start(PreAuthOnly)
        for hook in (plugin.auth, plugin.post_auth):
            with pytest.raises(PluginNotReadyError, match="does not serve"):
                await hook(call, make_request())


class TestResponseHooks:
    """The two phases of an answer."""

    async def test_headers_then_body(self, start: Start, call: CallInfo) -> None:
        class Modifier(BasePlugin):
            async def on_before_write_headers(self, ctx: Context, response: Response) -> None:
                response.headers["X-By"] = "me"

            def on_before_write(self, ctx: Context, response: Response) -> None:
                response.json()["done"] = True

        plugin, response = await start(Modifier), make_response(json={})
        with_headers = await plugin.response_headers(call, response)
        assert with_headers is not None
        changed = await plugin.response_body(call, with_headers)
        assert changed is not None
        assert (changed.headers["X-By"], changed.body) == ("me", b'{"done":true}')
        assert response.body == b"{}"

    async def test_a_phase_without_a_handler_changes_nothing(self, start: Start, call: CallInfo) -> None:
        class HeadersOnly(BasePlugin):
            async def on_before_write_headers(self, ctx: Context, response: Response) -> None: ...

        assert await (await start(HeadersOnly)).response_body(call, make_response()) is None

    async def test_raising_and_rubbish_are_errors(self, start: Start, call: CallInfo) -> None:
        class Fails(BasePlugin):
            async def on_before_write_headers(self, ctx: Context, response: Response) -> None:
                response.json()["a"] = 1

            async def on_before_write(self, ctx: Context, response: Response) -> Any:
                return b"a new body"

        plugin = await start(Fails)
        with pytest.raises(PluginCallError, match="BodyNotJsonError"):
            await plugin.response_headers(call, make_response(body=b"not json"))
        with pytest.raises(PluginProtocolError, match="returned bytes"):
            await plugin.response_body(call, make_response())


class Singles(BasePlugin):
    """Collects one by one; analytics cannot be collected."""

    async def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> None: ...

    def handle_analytics(self, ctx: Context, analytics: Analytics) -> None:
        raise PermanentError("refused")

    async def handle_budget_usage(self, ctx: Context, usage: BudgetUsage) -> DataCollectionResponse:
        return DataCollectionResponse(handled=True)


class TestCollectors:
    """The events of a call, one by one and in batches."""

    async def test_single_handlers(self, start: Start) -> None:
        plugin = await start(Singles)
        assert await plugin.proxy_log(make_proxy_log()) == DataCollectionResponse()
        assert (await plugin.budget_usage(make_budget_usage())).handled
        with pytest.raises(PluginCallError, match="refused") as failure:
            await plugin.analytics(make_analytics())
        assert not failure.value.retryable

    async def test_the_context_tells_of_the_call(self, start: Start) -> None:
        seen: list[Context] = []

        class Collector(BasePlugin):
            async def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> None:
                seen.append(ctx)

        log = make_proxy_log(app_id=7, user_id="ada", metadata={"team": "blue", "count": 5})
        await (await start(Collector)).proxy_log(log)
        (ctx,) = seen
        assert (ctx.request_id, ctx.app_id, ctx.user_id) == (log.request_id, 7, "ada")
        assert (ctx.llm_id, ctx.llm_slug, ctx.vendor) == (1, "my-llm", "openai")
        assert ctx.metadata == {"team": "blue", "event_id": log.event_id}

    async def test_without_a_batch_handler_the_single_ones_are_called(self, start: Start) -> None:
        answers = await (await start(Singles)).batch(
            [make_proxy_log(), make_analytics(), make_budget_usage()]
        )
        assert [(answer.success, answer.handled, answer.retryable) for answer in answers] == [
            (True, False, True),
            (False, False, False),
            (True, True, True),
        ]
        assert "refused" in answers[1].error_message

    async def test_a_batch_handler_gets_them_all(self, start: Start) -> None:
        class Batcher(BasePlugin):
            async def handle_batch(self, ctx: Context, events: Sequence[Event]) -> list[Any]:
                return [DataCollectionResponse(handled=event.event_id == "a") for event in events]

        plugin = await start(Batcher)
        events = [make_proxy_log(event_id="a"), make_proxy_log(event_id="b")]
        assert [answer.handled for answer in await plugin.batch(events)] == [True, False]
        assert (await plugin.proxy_log(events[0])).handled

    async def test_a_failing_batch_handler_is_an_error(self, start: Start) -> None:
        class Batcher(BasePlugin):
            async def handle_batch(self, ctx: Context, events: Sequence[Event]) -> list[Any]:
                if not events:
                    raise OSError("sink is down")
                return []

        plugin = await start(Batcher)
        with pytest.raises(PluginCallError, match="sink is down"):
            await plugin.batch([])
        with pytest.raises(PluginProtocolError, match="0 responses to 1 events"):
            await plugin.batch([make_proxy_log()])


class Mixed(BasePlugin):
    """Handlers of every kind."""

    def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> None: ...

    def handle_analytics(self, ctx: Context, analytics: Analytics) -> None: ...

    async def handle_budget_usage(self, ctx: Context, usage: BudgetUsage) -> None: ...

    @inline
    def handle_batch(self, ctx: Context, events: Sequence[Event]) -> None: ...


class TestTurns:
    """Room for callers with a backlog."""

    async def test_plain_handlers_share_as_many_turns_as_there_are_threads(self, start: Start) -> None:
        plugin = await start(Mixed, limits=HostLimits(threads_per_plugin=2))
        entered: list[str] = []

        async def take(handler: str) -> None:
            async with plugin.turn(handler):
                entered.append(handler)

        async with plugin.turn("handle_proxy_log"):
            async with plugin.turn("handle_analytics"):
                waiting = asyncio.ensure_future(take("handle_proxy_log"))
                await asyncio.sleep(0)
                assert entered == []
            await waiting
        assert entered == ["handle_proxy_log"]

    @pytest.mark.parametrize("handler", ["handle_budget_usage", "handle_batch", "handle_auth"])
    async def test_what_needs_no_thread_waits_for_no_turn(self, start: Start, handler: str) -> None:
        plugin = await start(Mixed, limits=HostLimits(threads_per_plugin=1))
        async with plugin.turn("handle_proxy_log"), plugin.turn(handler), plugin.turn(handler):
            pass


class TestLife:
    """Starting and stopping one instance."""

    async def test_initialize_gets_its_own_copy_of_the_config_with_json_types(self, start: Start) -> None:
        seen: list[dict[str, Any]] = []

        class Configured(BasePlugin):
            async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
                seen.append(config)
                config["list"].append("changed")

        config = {"list": [1], "limit": 1_000_000, "on": True}
        await start(Configured, config=config)
        assert seen == [{"list": [1, "changed"], "limit": 1_000_000, "on": True}]
        assert config["list"] == [1]

    @pytest.mark.parametrize("kind", ["async", "threaded"])
    async def test_a_failing_initialize_is_a_failed_start(self, start: Start, kind: str) -> None:
        class Plain(BasePlugin):
            def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
                sys.exit("no licence")

        class Async(BasePlugin):
            async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
                raise KeyError("api_key")

        plugin_class, said = (Plain, "no licence") if kind == "threaded" else (Async, "api_key")
        with pytest.raises(PluginStartError, match=f"initialize failed: .*{said}"):
            await start(plugin_class)

    async def test_what_it_serves_is_known_by_hook_type_and_handler(self, start: Start) -> None:
        plugin = await start(Singles)
        assert plugin.implements("data_collection")
        assert plugin.implements("handle_analytics")
        assert not plugin.implements("handle_batch")
        assert not plugin.implements("pre_auth")

    async def test_stopping_waits_for_calls_in_flight_then_shuts_down(
        self, start: Start, call: CallInfo
    ) -> None:
        story: list[str] = []
        entered, release = asyncio.Event(), asyncio.Event()

        class Slow(BasePlugin):
            async def handle_post_auth(self, ctx: Context, request: Request) -> None:
                entered.set()
                await release.wait()
                story.append("call ended")

            async def shutdown(self, ctx: Context) -> None:
                story.append("shut down")

        plugin = await start(Slow, limits=HostLimits())
        running = asyncio.ensure_future(plugin.post_auth(call, make_request()))
        await entered.wait()
        stopping = asyncio.ensure_future(plugin.stop())
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(running, stopping)
        assert story[:2] == ["call ended", "shut down"]

    @pytest.mark.parametrize("kind", ["raises", "exits", "hangs"])
    async def test_a_failing_shutdown_is_logged_and_over(
        self, start: Start, logger: RecordingLogger, kind: str
    ) -> None:
        class Stubborn(BasePlugin):
            async def shutdown(self, ctx: Context) -> None:
                if kind == "raises":
                    raise ValueError("no")
                if kind == "exits":
                    sys.exit(1)
                await forever()

        plugin = await start(Stubborn, limits=HostLimits(stop_s=0.01, cancel_grace_s=0.01))
        await plugin.stop()
        assert [line.message for line in logger.lines] == ["plugin failed in shutdown"]

    async def test_every_failure_is_a_plugin_error(self) -> None:
        for error in (PluginCallError, PluginProtocolError, PluginTimeoutError, PluginNotReadyError):
            assert issubclass(error, PluginError)
