"""One call's way through the proxy, from its route to its record."""

from __future__ import annotations

import time

from weir_core.errors import WeirError
from weir_core.ids import new_id, valid_client_request_id
from weir_host.calls import CallInfo
from weir_proxy.access import check_access, check_credential
from weir_proxy.answer import answer_for_plugin, answer_whole, refuse
from weir_proxy.asgi import Receive, Scope, Send
from weir_proxy.call import Call, Caller
from weir_proxy.configuration import Configuration, ServedLlm
from weir_proxy.errors import ClientGoneError, PluginAnswerError, RefusalError, UpstreamError
from weir_proxy.exchange import ask_for_usage, choose_model, note_failure
from weir_proxy.gateway import Gateway
from weir_proxy.headers import RequestHeaders, presented_credential
from weir_proxy.intake import check_mode, find_operation, read_body, read_fields
from weir_proxy.routes import LlmRoute, clean_native_path, match_llm
from weir_proxy.stream import answer_stream
from weir_proxy.trace import begin_span
from weir_streams.admission import Admission


async def serve_call(
    gateway: Gateway,
    configuration: Configuration,
    served: ServedLlm,
    route: LlmRoute,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Serve one call for a known LLM. Whatever happens, exactly one event family is recorded.

    Raises:
        SpoolFullError: Nothing was admitted; the caller answers 503.
    """
    call = _admit(gateway, configuration, served, route, scope)
    try:
        await _serve(gateway, call, receive, send)
    except PluginAnswerError as answer:
        await answer_for_plugin(gateway, call, answer, send)
    except RefusalError as refusal:
        await refuse(gateway, call, refusal, send)
    except UpstreamError as error:
        note_failure(call, error)
        await refuse(gateway, call, _as_refusal(error), send)
    except ClientGoneError:
        call.outcome = "client_aborted"
        await gateway.recorder.record(call)
    finally:
        # Reached with nothing recorded only through a defect or a cancelled worker: still one family.
        await gateway.recorder.record(call)


async def _serve(gateway: Gateway, call: Call, receive: Receive, send: Send) -> None:
    """The way in order. Every step either completes or raises how the call ends."""
    call.headers.refuse_duplicates()
    call.native_path = clean_native_path(call.native_path)
    call.operation = find_operation(call)
    presented = presented_credential(call.headers, call.query)
    if not call.served.auth and not call.served.pre_auth:
        call.caller = check_credential(call, presented, gateway.clock.wall_us())
    call.body = await read_body(call, receive, gateway.max_request_bytes)
    if call.served.pre_auth:
        await gateway.hooks.pre_auth(call)
        _adopt_changes(call)
    if call.caller is None:
        vouched = await gateway.hooks.auth(call) if call.served.auth else None
        call.caller = vouched or check_credential(call, presented, gateway.clock.wall_us())
    _introduce(call, call.caller)
    check_access(call, call.caller)
    if call.served.post_auth:
        await gateway.hooks.post_auth(call)
        _adopt_changes(call)
    if call.operation.reads_body:
        call.fields = read_fields(call.operation, call.body, call.headers.get("content-encoding"))
        check_mode(call.mode, call.streams)
    choose_model(call)
    ask_for_usage(call)
    if call.streams:
        await answer_stream(gateway, call, send)
    else:
        await answer_whole(gateway, call, send)


def _admit(
    gateway: Gateway, configuration: Configuration, served: ServedLlm, route: LlmRoute, scope: Scope
) -> Call:
    """Give the call its ids and its place in the in-flight table."""
    started = time.perf_counter()
    started_us = gateway.clock.wall_us()
    headers = RequestHeaders(scope["headers"])
    trace = begin_span(headers.get("traceparent"), headers.get("tracestate"))
    client_request_id = headers.get("x-request-id")
    if client_request_id is not None and not valid_client_request_id(client_request_id):
        client_request_id = None
    path = scope["raw_path"].decode("ascii")
    llm = served.llm
    slot = gateway.spool.admit(
        Admission(
            request_id=new_id(),
            started_us=started_us,
            llm_id=llm.id,
            llm_slug=llm.slug,
            vendor=llm.vendor,
            method=scope["method"],
            path=path,
            client_request_id=client_request_id,
            trace_id=trace.trace_id,
            edge_id=gateway.edge_id,
            edge_namespace=gateway.edge_namespace,
        )
    )
    return Call(
        configuration=configuration,
        served=served,
        connection=scope["weir.connection"],
        slot=slot,
        info=CallInfo(
            request_id=slot.admission.request_id,
            llm_id=llm.id,
            llm_slug=llm.slug,
            vendor=llm.vendor,
            metadata={},
            trace_context=_trace_context(trace.traceparent, trace.tracestate),
        ),
        trace=trace,
        client_request_id=client_request_id,
        started_us=started_us,
        started=started,
        mode=route.mode,
        method=scope["method"],
        path=path,
        query=scope["query_string"].decode("latin-1"),
        native_path=route.native_path,
        headers=headers,
    )


def _introduce(call: Call, caller: Caller) -> None:
    """Make the caller known to later hooks, to the events, and to whoever recovers this call."""
    call.info.app_id = caller.app.id
    call.info.user_id = caller.user_id
    call.slot.identify(caller.app.id, caller.user_id, caller.credential_id)
    if call.hook_request is not None:
        call.hook_request.app_id = caller.app.id
        call.hook_request.user_id = caller.user_id
        call.hook_request.auth_claims = caller.claims
        call.hook_request.authenticated = True


def _adopt_changes(call: Call) -> None:
    """Go on with what the plugins made of the request."""
    request = call.hook_request
    if request is None:
        return
    call.body = request.body
    if request.path != call.path:
        _reroute(call, request.path)
    if request.method != call.method:
        call.method = request.method
        call.operation = find_operation(call)


def _reroute(call: Call, path: str) -> None:
    """Follow a path that a plugin changed, as long as it stays with the same LLM."""
    route = match_llm(path)
    if route is None or call.configuration.find(route.slug, route.llm_id) is not call.served:
        raise RefusalError(
            500,
            "plugin_error",
            "A plugin changed the path to one that does not name this LLM.",
            outcome="blocked",
        )
    call.path, call.mode = path, route.mode
    call.native_path = clean_native_path(route.native_path)
    call.operation = find_operation(call)


def _trace_context(traceparent: str, tracestate: str | None) -> dict[str, str]:
    context = {"traceparent": traceparent}
    if tracestate:
        context["tracestate"] = tracestate
    return context


def _as_refusal(error: WeirError) -> RefusalError:
    assert isinstance(error, UpstreamError)
    return RefusalError(error.status, error.code, str(error), outcome="upstream_error")
