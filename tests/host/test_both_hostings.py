"""The same class as ``python://`` and as ``file://``: whatever a handler does, the effects are the same."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import pytest_asyncio

from weir_core.clock import SystemClock
from weir_core.objects import HookType, Plugin
from weir_core.snapshot import Snapshot
from weir_host.calls import CallInfo, RequestOutcome
from weir_host.errors import PluginError
from weir_host.host import PluginHost
from weir_host.instance import Instance
from weir_sdk import Request, Response, StreamComplete
from weir_sdk.testing import (
    RecordingLogger,
    make_analytics,
    make_budget_usage,
    make_proxy_log,
    make_request,
    make_response,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTED = Path(__file__).parent / "hosted"
HOOKS: tuple[HookType, ...] = ("pre_auth", "auth", "post_auth", "on_response", "data_collection")


class Both(NamedTuple):
    """The two hostings of one class."""

    python: Instance
    file: Instance


async def hosted(host: PluginHost, module: str, class_name: str, hook_types: tuple[HookType, ...]) -> Both:
    commands = (f"python://matrix_plugin:{class_name}", f"file://{HOSTED / module}.py")
    config = {"text": "a", "number": 1000000, "nested": {"list": [1, 2.5, None, True]}}
    plugins = [
        Plugin(id=number, name="matrix", slug="matrix", command=command, hook_types=hook_types, config=config)
        for number, command in enumerate(commands, 1)
    ]
    await host.apply(Snapshot(1, plugins), 30)
    python, file = host.get(1), host.get(2)
    assert python is not None
    assert file is not None
    assert (python.reason, file.reason) == ("", "")
    return Both(python, file)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hosts() -> AsyncIterator[Callable[[], PluginHost]]:
    made: list[PluginHost] = []
    sys.path.insert(0, str(HOSTED))

    def make() -> PluginHost:
        host = PluginHost(
            runtime="gateway",
            hook_types=frozenset(HOOKS),
            gateway_reads=lambda: Snapshot(1),
            plugin_modules=None,
            edge_id="edge-1",
            edge_namespace="eu",
            logger=RecordingLogger(),
            clock=SystemClock(),
        )
        made.append(host)
        return host

    yield make
    sys.path.remove(str(HOSTED))
    for host in made:
        await host.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(hosts: Callable[[], PluginHost]) -> Both:
    return await hosted(hosts(), "matrix", "Matrix", HOOKS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def batches(hosts: Callable[[], PluginHost]) -> Both:
    return await hosted(hosts(), "batch_matrix", "BatchMatrix", ("data_collection",))


def a_call(what: str) -> CallInfo:
    return CallInfo(
        request_id="r-1",
        llm_id=3,
        llm_slug="my-llm",
        vendor="openai",
        app_id=7,
        user_id="ada@example.org",
        metadata={"do": what, "old": "1"},
        trace_context={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    )


def a_request() -> Request:
    return make_request(
        json={"model": "gpt-4o", "n": 1},
        headers={"X-Old": "1", "Accept": "*/*", "Content-Length": "26"},
        query_string="a=1",
        user_id="ada@example.org",
        app_id=7,
        auth_claims={"team": "search"},
        authenticated=True,
    )


def unknown(call: CallInfo) -> CallInfo:
    """The call before anybody has said who calls."""
    call.app_id = call.user_id = None
    return call


def an_unknown_request() -> Request:
    return make_request(body=b'{"model": "m"}', headers={"X-Old": "1", "Authorization": "Bearer k"})


def a_response(*, chunk: bool = False) -> Response:
    return make_response(
        status_code=201, json={"id": 1}, headers={"X-Old": "1"}, is_stream_chunk=chunk, request_id="r-1"
    )


def plain(answer: object) -> object:
    """Requests and answers as values that can be compared."""
    if isinstance(answer, RequestOutcome):
        # What became of context_updates is seen in the call's metadata.
        return [plain(part) for part in (answer.request, answer.block, answer.credential)]
    if isinstance(answer, Request | Response | StreamComplete):
        return {
            name: getattr(answer, name)
            for kind in type(answer).__mro__
            for name in getattr(kind, "__slots__", ())
            if not name.startswith("_")
        } | {"body": answer.body}
    if isinstance(answer, msgspec.Struct):
        return msgspec.to_builtins(answer)
    return [plain(item) for item in answer] if isinstance(answer, list) else answer


async def told(call: Awaitable[object]) -> object:
    """What became of a call: its answer, or its error in all that callers go by."""
    try:
        return plain(await call)
    except PluginError as error:
        quoted = [words for words in WORDS if words in error.unquoted]
        return type(error).__name__, str(error), error.unquoted, quoted, error.retryable


WORDS = ["no luck", "never", "sys.exit", "elsewhere", "42", "'ok'"]
"""What plugins say, or do, when they fail."""

FAILING = ["raise", "raise nothing", "raise for good", "exit", "cancel", "rubbish"]
ON_REQUESTS = [
    *("nothing", "read only", "headers", "own headers", "bad header", "json", "unwritable json", "body"),
    *("no body", "target", "no query", "bad path", "identity", "another request", "returned"),
    *("not modified", "block", "block with all", "serve", "bad status", "updates", "notes", "bad notes"),
    *("what it sees", *FAILING),
]
ON_AUTH = [
    *("nothing", "headers", "credential", "bare credential", "bad credential", "block", "block with all"),
    *("bad status", "updates", "notes", "bad notes", "what it sees", *FAILING),
]
ON_RESPONSES = [
    *("nothing", "headers", "bad header", "status", "bad status", "json", "body", "no body", "returned"),
    *("not modified", "notes", "bad notes", "what it sees", *FAILING),
]
ON_EVENTS = ["nothing", "handled", "not collected", "refused", "what it sees", *FAILING]


async def assert_same(both: Both, what: str, call: Callable[[Instance, CallInfo], Awaitable[object]]) -> None:
    facts = [a_call(what) for _ in both]
    python, file = [await told(call(plugin, fact)) for plugin, fact in zip(both, facts, strict=True)]
    assert file == python
    assert not isinstance(file, tuple) or file[3] == []
    assert facts[1].metadata == facts[0].metadata


class TestRequests:
    @pytest.mark.parametrize("what", [*ON_REQUESTS, "config"])
    async def test_post_auth(self, both: Both, what: str) -> None:
        await assert_same(both, what, lambda plugin, call: plugin.post_auth(call, a_request()))

    @pytest.mark.parametrize("what", ON_REQUESTS)
    async def test_pre_auth(self, both: Both, what: str) -> None:
        await assert_same(
            both, what, lambda plugin, call: plugin.pre_auth(unknown(call), an_unknown_request())
        )

    @pytest.mark.parametrize("what", ON_AUTH)
    async def test_auth(self, both: Both, what: str) -> None:
        await assert_same(both, what, lambda plugin, call: plugin.auth(unknown(call), an_unknown_request()))

    async def test_what_was_given_stays_as_it_was(self, both: Both) -> None:
        for plugin in both:
            request = a_request()
            await plugin.post_auth(a_call("headers"), request)
            assert plain(request) == plain(a_request())


class TestResponses:
    @pytest.mark.parametrize("what", ON_RESPONSES)
    async def test_headers(self, both: Both, what: str) -> None:
        await assert_same(both, what, lambda plugin, call: plugin.response_headers(call, a_response()))

    @pytest.mark.parametrize("what", ON_RESPONSES)
    async def test_body(self, both: Both, what: str) -> None:
        await assert_same(both, what, lambda plugin, call: plugin.response_body(call, a_response()))

    @pytest.mark.parametrize("what", ON_RESPONSES)
    async def test_chunk(self, both: Both, what: str) -> None:
        await assert_same(both, what, lambda plugin, call: plugin.response_body(call, a_response(chunk=True)))

    @pytest.mark.parametrize("what", ["nothing", "notes", "bad notes", "what it sees", *FAILING])
    async def test_stream_complete(self, both: Both, what: str) -> None:
        stream = StreamComplete(
            body=b"data: {}\n\n",
            headers={"X-A": "1"},
            status_code=201,
            chunk_count=2,
            request_body=b'{"stream": true}',
        )
        await assert_same(both, what, lambda plugin, call: plugin.stream_complete(call, stream))


class TestEvents:
    @pytest.mark.parametrize("what", ON_EVENTS)
    async def test_each_kind(self, both: Both, what: str) -> None:
        log = make_proxy_log(model_name=what, metadata={"team": "x", "n": 1}, request_body="é")
        analytics = make_analytics(model_name=what, cost="0.000000123", user_id="ada")
        usage = make_budget_usage(vendor=what, limit="10.5")
        await assert_same(both, what, lambda plugin, _: plugin.proxy_log(log))
        await assert_same(both, what, lambda plugin, _: plugin.analytics(analytics))
        await assert_same(both, what, lambda plugin, _: plugin.budget_usage(usage))

    async def test_a_collectors_context(self, both: Both) -> None:
        log = make_proxy_log(llm_slug="what it sees", user_id="ada", metadata={"team": "x", "n": 1})
        await assert_same(both, "", lambda plugin, _: plugin.proxy_log(log))

    async def test_a_batch_of_single_handlers(self, both: Both) -> None:
        events = [make_proxy_log(model_name="handled"), make_analytics(model_name="raise")]
        await assert_same(both, "", lambda plugin, _: plugin.batch(events))

    @pytest.mark.parametrize("what", ["nothing", "one by one", "too few", "what it sees", *FAILING])
    async def test_batches(self, batches: Both, what: str) -> None:
        events = [make_proxy_log(model_name=what), make_analytics(), make_budget_usage()]
        await assert_same(batches, what, lambda plugin, _: plugin.batch(events))

    async def test_one_event_for_a_batch_collector(self, batches: Both) -> None:
        log = make_proxy_log(model_name="one by one")
        await assert_same(batches, "", lambda plugin, _: plugin.proxy_log(log))


async def test_they_serve_the_same_hooks(both: Both, batches: Both) -> None:
    names = {*HOOKS, "handle_pre_auth", "on_before_write", "handle_batch", "handle_proxy_log", "studio"}
    for pair in (both, batches):
        python, file = [{name for name in names if plugin.implements(name)} for plugin in pair]
        assert file == python


async def test_a_config_that_is_refused_is_refused_in_the_same_words(
    hosts: Callable[[], PluginHost],
) -> None:
    reasons = []
    for command in ("python://matrix_plugin:Matrix", f"file://{HOSTED}/matrix.py"):
        plugin = Plugin(
            id=1, name="p", slug="p", command=command, config={"fail": True}, hook_types=("post_auth",)
        )
        host = hosts()
        await host.apply(Snapshot(1, [plugin]), 30)
        reasons.append(host.states()[1].reason)
    assert reasons == ["initialize failed: ValueError: bad config"] * 2


async def test_a_hook_type_without_a_handler_is_refused_in_the_same_words(
    hosts: Callable[[], PluginHost],
) -> None:
    reasons = []
    for command in ("python://matrix_plugin:BatchMatrix", f"file://{HOSTED}/batch_matrix.py"):
        plugin = Plugin(id=1, name="p", slug="p", command=command, hook_types=("data_collection", "auth"))
        host = hosts()
        await host.apply(Snapshot(1, [plugin]), 30)
        reasons.append(host.states()[1].reason)
    assert reasons == ["hook type auth is declared, but BatchMatrix has no handle_auth"] * 2
