"""The hooks and collectors of a plugin in a process of its own, as a Go host and as ours call them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from grpc import aio
from tests.sdk.conftest import Serve, ServedProcess

from weir_proto import plugin_pb2 as pb
from weir_proto import weir_plugin_pb2 as extras
from weir_sdk import Credential, Request, Response, StreamComplete
from weir_sdk.context import CallInfo
from weir_sdk.testing import make_analytics, make_budget_usage, make_proxy_log
from weir_sdk.wire import collected, events, requests, responses
from weir_sdk.wire.config import Beginning, beginning_to_wire
from weir_sdk.wire.context import Peer, keep_wire_metadata
from weir_sdk.wire.failures import Failure, failure_from_wire

OURS = Peer(ours=True)
CALL = CallInfo(request_id="r-1", llm_id=1, app_id=7, user_id="ada", metadata={"gone": "1"})


async def served_by_us(serve: Serve, **config: Any) -> ServedProcess:
    served = await serve("everything.py")
    beginning = Beginning(config=config, plugin_id=4, edge_id="edge-1", edge_namespace="eu")
    answer = await served.plugin.Initialize(pb.InitRequest(config=beginning_to_wire(beginning)))
    assert answer.success
    return served


def enriched(do: str = "", **changes: Any) -> Request:
    headers = {"X-Gone": "1", **({"X-Do": do} if do else {})}
    return Request(**{"headers": headers, "body": b'{"model":"m"}', "user_id": "ada", **changes})


async def post_auth(served: ServedProcess, request: Request) -> Any:
    return await served.plugin.ProcessPostAuth(requests.enriched_to_wire(CALL, request, OURS))


async def said(served: ServedProcess) -> str:
    answer = await post_auth(served, enriched("say"))
    text: str = answer.headers["X-Said"]
    return text


def failure_in(error: aio.AioRpcError) -> Failure | None:
    return failure_from_wire(error.details() or "", error.trailing_metadata() or ())


async def test_go_hosts_hooks_are_answered_in_gos_fields(serve: Serve) -> None:
    served = await serve("everything.py")
    await served.initialize(limit="5")
    request = pb.PluginRequest(method="POST", path="/x", body=b'{"a":1}', context=pb.PluginContext(app_id=7))
    pre = await served.plugin.ProcessPreAuth(request)
    assert (pre.modified, dict(pre.headers), pre.body) == (True, {"X-Pre": "7"}, b"")
    post = await served.plugin.ProcessPostAuth(pb.EnrichedRequest(request=request, user_id="9"))
    assert (post.body, dict(post.context_updates)) == (b'{"a":1,"user":"9"}', {"left": "here"})
    yes = await served.plugin.Authenticate(
        pb.AuthRequest(request=pb.PluginRequest(headers={"Authorization": "Bearer good"}))
    )
    assert (yes.authenticated, yes.user_id, yes.app_id, dict(yes.claims)) == (
        True,
        "ada",
        "7",
        {"team": "blue"},
    )
    no = await served.plugin.Authenticate(pb.AuthRequest(request=request))
    assert (no.authenticated, no.error_message, no.status_code) == (False, "unknown token", 401)
    head = await served.plugin.OnBeforeWriteHeaders(pb.HeadersRequest(headers={"A": "b"}))
    assert (head.modified, dict(head.headers)) == (True, {"A": "b", "X-Thread": "200"})
    body = await served.plugin.OnBeforeWrite(pb.ResponseWriteRequest(body=b"abc", headers={"A": "b"}))
    assert (body.modified, body.body, dict(body.headers)) == (True, b"ABC", {"A": "b"})
    assert (await served.plugin.OnStreamComplete(pb.StreamCompleteRequest())).handled


async def test_our_own_host_reads_everything_that_a_handler_changed(serve: Serve) -> None:
    served = await served_by_us(serve)
    given = enriched(query_string="a=1")
    answer = await post_auth(served, given)
    outcome = requests.request_outcome_from_wire(answer, given)
    assert outcome.request is not None
    assert (outcome.request.body, outcome.request.headers) == (b'{"model":"m","user":"ada"}', {})
    call = CallInfo(metadata=dict(CALL.metadata))
    keep_wire_metadata(answer, call)
    assert call.metadata == {"left": "here"}
    wire = requests.request_to_wire(CALL, given, OURS)
    assert (await served.plugin.ProcessPreAuth(wire)).context_updates["query"] == "a=1"


async def test_a_block_and_a_credential_arrive(serve: Serve) -> None:
    served = await served_by_us(serve)
    given = enriched("block")
    answer = await served.plugin.ProcessPreAuth(requests.request_to_wire(CALL, given, OURS))
    block = requests.request_outcome_from_wire(answer, given).block
    assert block is not None
    assert (block.status_code, block.body, block.headers) == (418, b"teapot", {"X-Why": "tea"})
    known = Request(headers={"Authorization": "Bearer good"})
    answer = await served.plugin.Authenticate(requests.auth_to_wire(CALL, known, OURS))
    credential = requests.auth_outcome_from_wire(answer).credential
    assert credential == Credential(user_id="ada", claims={"team": "blue"}, app_id=7)


async def test_response_hooks_run_on_threads_and_see_the_status(serve: Serve) -> None:
    served = await served_by_us(serve)
    given = Response(status_code=201, body=b"abc")
    wire = responses.headers_to_wire(CALL, given, OURS)
    changed = responses.headers_outcome_from_wire(await served.plugin.OnBeforeWriteHeaders(wire), given)
    assert changed is not None
    assert (changed.headers, changed.body) == ({"X-Thread": "201"}, b"abc")
    chunk = Response(body=b"abc", is_stream_chunk=True)
    answer = await served.plugin.OnBeforeWrite(responses.write_to_wire(CALL, chunk, OURS))
    upper = responses.write_outcome_from_wire(answer, chunk)
    assert upper is not None
    assert upper.body == b"ABC"


async def test_a_streams_end_arrives_whole(serve: Serve) -> None:
    served = await served_by_us(serve)
    stream = StreamComplete(body=b"data: 1\n\n", chunk_count=1, request_body=b"{}")
    await served.plugin.OnStreamComplete(responses.stream_to_wire(CALL, stream, OURS))
    assert "1 b'data: 1\\\\n\\\\n' b'{}'" in await said(served)


async def test_configuration_keeps_its_types_with_our_own_host(serve: Serve) -> None:
    served = await served_by_us(serve, limit=5, nested={"a": [1.5, None]})
    text = await said(served)
    assert text.startswith("{'limit': 5, 'nested': {'a': [1.5, None]}} ('edge-1', 'eu', 'gateway')")


async def test_configuration_is_text_with_a_go_host(serve: Serve) -> None:
    served = await serve("everything.py")
    await served.initialize(limit="5", _plugin_id="4")
    assert (await said(served)).startswith("{'limit': '5'} ('', '', 'gateway')")


async def test_a_configuration_that_is_refused_is_no_success(serve: Serve) -> None:
    served = await serve("everything.py")
    answer = await served.plugin.Initialize(pb.InitRequest(config={"refuse": "it"}))
    assert (answer.success, answer.error_message) == (False, "ValueError: refused 'it'")


@pytest.mark.parametrize(
    ("do", "code", "failure"),
    [
        ("raise", "UNKNOWN", Failure("raised", "ValueError: boom", True)),
        ("raise for good", "UNKNOWN", Failure("raised", "PermanentError: never", False)),
        ("exit", "UNKNOWN", Failure("raised", "HandlerQuitError: it called sys.exit(3)", True)),
        (
            "cancel itself",
            "UNKNOWN",
            Failure("raised", "HandlerQuitError: it was cancelled from within", True),
        ),
        ("rubbish", "INTERNAL", Failure("rubbish", "returned int; return None or PluginResponse", False)),
        (
            "bad header",
            "INTERNAL",
            Failure("rubbish", "set the header X-A to a text with line breaks or beyond Latin-1", False),
        ),
        ("surrogate", "INTERNAL", Failure("rubbish", "gave back a text that is not UTF-8: '\\ud800'", False)),
    ],
)
async def test_failures_tell_what_kind_they_are(serve: Serve, do: str, code: str, failure: Failure) -> None:
    served = await served_by_us(serve)
    with pytest.raises(aio.AioRpcError) as failed:
        await post_auth(served, enriched(do))
    assert failed.value.code().name == code
    assert failure_in(failed.value) == failure
    assert (await served.plugin.Ping(pb.PingRequest())).healthy


async def test_a_body_of_6_mib_passes_both_ways(serve: Serve) -> None:
    served = await served_by_us(serve)
    body = b'{"text":"%s"}' % (b"x" * 6 * 1024 * 1024)
    outcome = requests.request_outcome_from_wire(
        await post_auth(served, enriched(body=body)), given := enriched(body=body)
    )
    assert outcome.request is not None
    assert len(outcome.request.body) > len(given.body)


async def test_many_calls_run_at_once(serve: Serve) -> None:
    served = await served_by_us(serve)
    hanging = [asyncio.ensure_future(post_auth(served, enriched("hang"))) for _ in range(20)]
    given = Response(body=b"abc")
    answers = await asyncio.gather(
        *(served.plugin.OnBeforeWrite(responses.write_to_wire(CALL, given, OURS)) for _ in range(200))
    )
    assert {answer.body for answer in answers} == {b"ABC"}
    for call in hanging:
        call.cancel()
    await asyncio.wait(hanging)


async def test_a_call_that_is_cancelled_cancels_its_handler(serve: Serve) -> None:
    served = await served_by_us(serve)
    hanging = asyncio.ensure_future(post_auth(served, enriched("hang")))
    while "hanging" not in await said(served):
        pass
    hanging.cancel()
    while "cancelled" not in await said(served):
        pass


async def test_a_handler_that_is_not_there_has_done_nothing(serve: Serve) -> None:
    served = await serve("bare.py")
    await served.initialize()
    assert await served.plugin.ProcessPreAuth(pb.PluginRequest()) == pb.PluginResponse()
    assert await served.plugin.ProcessPostAuth(pb.EnrichedRequest()) == pb.PluginResponse()
    assert not (await served.plugin.Authenticate(pb.AuthRequest())).authenticated
    assert await served.plugin.OnBeforeWrite(pb.ResponseWriteRequest()) == pb.ResponseWriteResponse()
    assert await served.plugin.OnBeforeWriteHeaders(pb.HeadersRequest()) == pb.HeadersResponse()
    assert not (await served.plugin.OnStreamComplete(pb.StreamCompleteRequest())).handled
    collected_nothing = await served.plugin.HandleProxyLog(pb.ProxyLogRequest())
    assert (collected_nothing.success, collected_nothing.handled) == (True, False)


async def test_what_plugins_cannot_do_yet_is_unimplemented(serve: Serve) -> None:
    served = await serve("bare.py")
    for call in (
        served.plugin.GetEndpointRegistrations(pb.GetEndpointRegistrationsRequest()),
        served.plugin.AcceptEdgePayload(pb.EdgePayloadRequest()),
        served.extras.HandleBatch(extras.BatchRequest()),
    ):
        with pytest.raises(aio.AioRpcError) as failed:
            await call
        assert failed.value.code().name == "UNIMPLEMENTED"


async def test_collectors_answer_our_own_host_as_they_are(serve: Serve) -> None:
    served = await served_by_us(serve)
    log = make_proxy_log(event_id="event-1", metadata={"team": "blue"})
    answer = await served.plugin.HandleProxyLog(events.proxy_log_to_wire(log, OURS))
    assert collected.collected_from_wire(answer).handled
    assert "event-1" in await said(served)
    answer = await served.plugin.HandleAnalytics(events.analytics_to_wire(make_analytics(cost="0.5"), OURS))
    response = collected.collected_from_wire(answer)
    assert (response.success, response.error_message, response.retryable) == (False, "0.5", False)
    with pytest.raises(aio.AioRpcError) as failed:
        await served.plugin.HandleBudgetUsage(events.budget_usage_to_wire(make_budget_usage(), OURS))
    assert failure_in(failed.value) == Failure("raised", "ConnectionError: sink is down", True)


async def test_collectors_never_fail_in_a_go_host_which_would_stand_still(serve: Serve) -> None:
    served = await serve("everything.py")
    await served.initialize()
    refused = await served.plugin.HandleAnalytics(pb.AnalyticsRequest(cost=5000))
    assert (refused.success, refused.handled, refused.error_message) == (True, False, "0.5")
    raised = await served.plugin.HandleBudgetUsage(pb.BudgetUsageRequest(request_id="r"))
    assert (raised.success, raised.handled) == (True, False)
    line = json.loads((await served.logged("sink is down")).splitlines()[-1])
    assert (line["@level"], line["handler"], line["event_id"]) == (
        "warn",
        "handle_budget_usage",
        "r:budget_usage",
    )


async def test_a_batch_is_collected_in_one_call(serve: Serve) -> None:
    served = await served_by_us(serve)
    batch = [make_proxy_log(user_id="ada"), make_analytics(user_id="bob"), make_budget_usage(user_id="ada")]
    answer = await served.extras.HandleBatch(collected.batch_to_wire(batch))
    responses_ = collected.batch_collected_from_wire(answer, len(batch))
    assert [response.handled for response in responses_] == [True, False, True]


async def test_it_says_what_it_is_and_can_do(serve: Serve) -> None:
    served = await serve("everything.py")
    told = await served.extras.Describe(extras.DescribeRequest())
    assert (told.name, told.version, told.class_name) == ("everything", "1.2.3", "Everything")
    assert told.sdk.startswith("weir_sdk/")
    threads = {handler.name: (handler.threaded, handler.threads) for handler in told.handlers}
    assert threads["handle_post_auth"] == threads["handle_pre_auth"] == (False, 0)
    assert threads["on_before_write"] == (True, 8)
    assert {"handle_batch", "on_stream_complete", "handle_auth"} <= threads.keys()
    bare = await serve("bare.py")
    assert not (await bare.extras.Describe(extras.DescribeRequest())).handlers
