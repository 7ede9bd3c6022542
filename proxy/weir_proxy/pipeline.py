"""One call's way through the proxy, from its route to its record."""

from __future__ import annotations

import time

import structlog

from weir_core.ids import new_id, valid_client_request_id
from weir_host.calls import CallInfo
from weir_proxy.access import check_access, check_credential
from weir_proxy.answer import answer_for_plugin, answer_whole, cut_off, refuse
from weir_proxy.call import Call, Caller
from weir_proxy.client import ClientRequest
from weir_proxy.configuration import Configuration, Target
from weir_proxy.errors import ClientGoneError, PluginAnswerError, RefusalError, UpstreamError
from weir_proxy.exchange import ask_for_usage, choose_model, note_failure
from weir_proxy.gateway import Gateway
from weir_proxy.headers import presented_credential
from weir_proxy.held import release
from weir_proxy.hooks import introduce
from weir_proxy.intake import check_mode, read_fields, read_whole
from weir_proxy.stream import answer_stream
from weir_proxy.trace import begin_span
from weir_streams.admission import Admission
from weir_streams.errors import SpoolWriteError

_log = structlog.get_logger("weir.proxy")
_INTERNAL = RefusalError(
    500,
    "internal_error",
    "The gateway failed; its log says why under this request id.",
    outcome="gateway_error",
)


async def serve_call(
    gateway: Gateway, configuration: Configuration, target: Target, client: ClientRequest
) -> None:
    """Serve one call for a known LLM. Whatever happens, exactly one event family is recorded.

    Raises:
        SpoolFullError, TooManyInFlightError: Nothing was admitted; the caller answers 503.
    """
    call = admit(gateway, configuration, target, client)
    try:
        await _serve_and_record(gateway, call)
    except SpoolWriteError as error:
        _log.error(
            "a call could not be recorded and was cut off", request_id=call.request_id, error=str(error)
        )
        await cut_off(call)
    finally:
        if not call.plugins_are_told:
            release(call)


async def _serve_and_record(gateway: Gateway, call: Call) -> None:
    """The ways a call can end. Each of them records it; the last resort is a gateway_error."""
    try:
        await _serve(gateway, call)
    except PluginAnswerError as answer:
        await answer_for_plugin(gateway, call, answer)
    except RefusalError as refusal:
        await refuse(gateway, call, refusal)
    except UpstreamError as error:
        note_failure(call, error)
        await refuse(gateway, call, _as_refusal(error))
    except ClientGoneError:
        call.outcome = "client_aborted"
    except SpoolWriteError:
        raise
    except Exception:  # noqa: BLE001 - a defect of ours: the client still gets an answer, the call its events
        _log.exception("a call failed inside the gateway", request_id=call.request_id)
        await refuse(gateway, call, _INTERNAL)
    finally:
        # With a defect or a cancelled worker nothing is recorded yet: still one family, a gateway_error.
        if not call.recorded:
            await gateway.recorder.record(call)


async def _serve(gateway: Gateway, call: Call) -> None:
    """The way in order. Every step either completes or raises how the call ends."""
    if call.target.refusal is not None:
        raise call.target.refusal
    call.headers.refuse_duplicates()
    served, presented = call.served, presented_credential(call.headers, call.query)
    if not served.auth and not served.pre_auth:
        # Nobody unknown gets to fill the memory with a body, unless a plugin has to see it.
        call.caller = check_credential(call, presented, gateway.clock.wall_us())
    call.body = await read_whole(call.client, gateway.max_request_bytes)
    if served.pre_auth:
        await gateway.hooks.pre_auth(call)
        _adopt_changes(call)
    if call.caller is None:
        vouched = await gateway.hooks.auth(call) if served.auth else None
        call.caller = vouched or check_credential(call, presented, gateway.clock.wall_us())
    _introduce(call, call.caller)
    check_access(call, call.caller)
    if served.post_auth:
        await gateway.hooks.post_auth(call)
        _adopt_changes(call)
    if call.operation is not None and call.operation.reads_body:
        call.fields = read_fields(call.operation, call.body, call.headers.get("content-encoding"))
    check_mode(call.target.mode, call.streams)
    choose_model(call)
    if call.client_gone:
        raise ClientGoneError("the client hung up before anything went upstream")
    if call.streams:
        ask_for_usage(call)
        await answer_stream(gateway, call)
    else:
        await answer_whole(gateway, call)


def admit(gateway: Gateway, configuration: Configuration, target: Target, client: ClientRequest) -> Call:
    """Give a call its ids and its place in the in-flight table.

    Raises:
        SpoolFullError, TooManyInFlightError: There is no place.
    """
    started, started_us = time.perf_counter(), gateway.clock.wall_us()
    headers = client.headers()
    trace = begin_span(headers.get("traceparent"), headers.get("tracestate"))
    client_request_id = headers.get("x-request-id")
    if client_request_id is not None and not valid_client_request_id(client_request_id):
        client_request_id = None
    llm, request_id, method = target.served.llm, new_id(), client.method
    slot = gateway.spool.admit(
        Admission(
            request_id=request_id,
            started_us=started_us,
            llm_id=llm.id,
            llm_slug=llm.slug,
            vendor=llm.vendor,
            method=method,
            path=target.path,
            client_request_id=client_request_id,
            trace_id=trace.trace_id,
            edge_id=gateway.edge_id,
            edge_namespace=gateway.edge_namespace,
        )
    )
    context = {"traceparent": trace.traceparent}
    if trace.tracestate:
        context["tracestate"] = trace.tracestate
    return Call(
        configuration=configuration,
        served=target.served,
        client=client,
        target=target,
        slot=slot,
        info=CallInfo(
            request_id=request_id,
            llm_id=llm.id,
            llm_slug=llm.slug,
            vendor=llm.vendor,
            trace_context=context,
        ),
        trace=trace,
        client_request_id=client_request_id,
        started_us=started_us,
        started=started,
        method=method,
        path=target.path,
        query=client.query,
        headers=headers,
    )


def _introduce(call: Call, caller: Caller) -> None:
    """Make the caller known to later hooks, to the events, and to whoever recovers this call."""
    call.info.app_id = caller.app.id
    call.info.user_id = caller.user_id
    call.slot.identify(caller.app.id, caller.user_id, caller.credential_id)
    if call.hook_request is not None:
        introduce(call.hook_request, caller)


def _adopt_changes(call: Call) -> None:
    """Go on with what the plugins made of the request."""
    request = call.hook_request
    if request is None:
        return
    call.body, call.query = request.body, request.query_string
    if request.path != call.path or request.method != call.method:
        _retarget(call, request.method, request.path)


def _retarget(call: Call, method: str, path: str) -> None:
    """Follow a path or method that a plugin changed, as long as it stays with the same LLM."""
    target = call.configuration.target(method, path)
    if target is None or target.served is not call.served:
        raise RefusalError(
            500,
            "plugin_error",
            "A plugin changed the path to one that does not name this LLM.",
            outcome="blocked",
        )
    if target.refusal is not None:
        raise target.refusal
    call.target, call.method, call.path = target, method, path


def _as_refusal(error: UpstreamError) -> RefusalError:
    return RefusalError(error.status, error.code, str(error), outcome="upstream_error")
