"""The hook pipeline: every stage in attachment order, under a deadline, with its failure policy.

Failure behaviour, per hook:

| what happens                      | fail_closed                    | fail_open                     |
|-----------------------------------|--------------------------------|-------------------------------|
| not ready (starting, failed)      | 503 plugin_unavailable         | as if it were not attached    |
| past its deadline                 | 503 plugin_unavailable         | its changes are dropped       |
| raises, or answers rubbish        | 500 plugin_error               | its changes are dropped       |
| cannot take a body of that size   | 413 too_large_for_plugin       | as if it were not attached    |

An auth plugin that fails open is passed over: the next auth plugin decides, and after the last one the
built-in credential check. A failure never lets a caller in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from fnmatch import fnmatchcase
from typing import Any, Protocol, TypeVar

from weir_host.calls import CallInfo, RequestOutcome
from weir_host.errors import PluginError, PluginNotReadyError, PluginTimeoutError, PluginTooLargeError
from weir_host.host import PluginHost
from weir_host.instance import Calls
from weir_host.invoke import call_with_deadline
from weir_proxy.call import Call, Caller
from weir_proxy.configuration import HookPoint
from weir_proxy.errors import PluginAnswerError, RefusalError
from weir_proxy.headers import header_changes
from weir_proxy.held import may_serve, serving
from weir_sdk import Credential, PluginResponse, Request, Response, StreamComplete

_Result = TypeVar("_Result")
_Subject = TypeVar("_Subject", Request, Response, StreamComplete)


class FailureLog(Protocol):
    """Where a failed hook is told: a counter, and a log line unless it has failed before (``again``)."""

    def __call__(self, call: Call, point: HookPoint, error: PluginError, *, again: bool = False) -> None: ...


class HookPipeline:
    """Runs the stages of one worker's calls against its plugin host."""

    def __init__(self, host: PluginHost, on_failure: FailureLog) -> None:
        self._host = host
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()

    async def pre_auth(self, call: Call) -> None:
        """Run every pre_auth hook.

        Raises:
            PluginAnswerError: A plugin blocked the call or answered it.
            RefusalError: A closed plugin failed.
        """
        for point in call.served.pre_auth:
            outcome = await self._run(
                call, point, lambda plugin, request: plugin.pre_auth(call.info, request), view_of(call)
            )
            if outcome is not None:
                _take(call, point, outcome)

    async def post_auth(self, call: Call) -> None:
        """Run every post_auth hook; raises as ``pre_auth``."""
        for point in call.served.post_auth:
            outcome = await self._run(
                call, point, lambda plugin, request: plugin.post_auth(call.info, request), view_of(call)
            )
            if outcome is not None:
                _take(call, point, outcome)

    async def auth(self, call: Call) -> Caller | None:
        """Ask the auth plugins in turn; the first that vouches for the caller decides.

        Returns:
            The caller, or None when every plugin failed open and the built-in check must decide.

        Raises:
            PluginAnswerError: Nobody vouched; the last rejection is the answer.
            RefusalError: 403 when the app that was named cannot be used; or a closed plugin failed.
        """
        rejection: PluginAnswerError | None = None
        for point in call.served.auth:
            outcome = await self._run(
                call, point, lambda plugin, request: plugin.auth(call.info, request), view_of(call)
            )
            if outcome is None:
                continue
            if outcome.credential is not None and outcome.block is None:
                return _vouched(call, point, outcome.credential)
            rejection = _rejection(call, point, outcome.block)
        if rejection is not None:
            raise rejection
        return None

    async def response(self, call: Call, response: Response) -> Response:
        """Run both phases over a whole answer and return what the client shall get."""
        response = await self.response_headers(call, response)
        return await self.response_body(call, response)

    async def response_body(self, call: Call, response: Response) -> Response:
        """Run the body phase over a whole answer; the same object is unchanged."""
        for point in call.served.response:
            changed = await self._run(
                call, point, lambda plugin, answer: plugin.response_body(call.info, answer), response
            )
            response = changed or response
        return response

    async def stream_body(
        self, call: Call, point: HookPoint, response: Response, within_s: float
    ) -> Response | None:
        """Run one plugin's body phase over an event of a stream, or over the whole of one; None is unchanged.

        Raises:
            PluginError: It failed; ``failed`` says what that means.
        """
        return await self._attempt(
            call, point, lambda plugin, part: plugin.response_body(call.info, part), response, within_s
        )

    def failed(self, call: Call, point: HookPoint, error: PluginError, *, again: bool = False) -> None:
        """Note a failed hook, and pass it over or end the call, as its attachment wants it.

        Args:
            again: The hook has failed before in the same stream.

        Raises:
            RefusalError: A closed plugin failed.
        """
        self._on_failure(call, point, error, again=again)
        if point.fail_closed:
            raise _closed(point, error) from error

    async def response_headers(self, call: Call, response: Response) -> Response:
        """Run the headers phase; for a stream this is before its first byte."""
        for point in call.served.response:
            changed = await self._run(
                call, point, lambda plugin, answer: plugin.response_headers(call.info, answer), response
            )
            response = changed or response
        return response

    def may_serve(self, call: Call, point: HookPoint, handler: str) -> bool:
        """Whether the plugin has this handler; one that cannot run now may have it."""
        return may_serve(self._host, call, point, handler)

    async def stream_complete(
        self, call: Call, point: HookPoint, info: CallInfo, stream: StreamComplete, within_s: float
    ) -> None:
        """Tell one plugin of a finished stream; a failure is only noted, the answer is out."""
        try:
            await self._attempt(
                call, point, lambda plugin, end: plugin.stream_complete(info, end), stream, within_s
            )
        except PluginError as error:
            self.missed(call, point, error)

    def missed(self, call: Call, point: HookPoint, error: PluginError) -> None:
        """Note a failure that changes nothing any more."""
        self._on_failure(call, point, error)

    async def _run(
        self,
        call: Call,
        point: HookPoint,
        hook: Callable[[Calls, _Subject], Coroutine[Any, Any, _Result]],
        subject: _Subject,
    ) -> _Result | None:
        """One hook under its deadline; None when it failed and its failure is to be passed over."""
        try:
            return await self._attempt(call, point, hook, subject, point.timeout_s)
        except PluginError as error:
            self.failed(call, point, error)
            return None

    async def _attempt(
        self,
        call: Call,
        point: HookPoint,
        hook: Callable[[Calls, _Subject], Coroutine[Any, Any, _Result]],
        subject: _Subject,
        within_s: float,
    ) -> _Result:
        started = time.perf_counter()
        try:
            plugin = serving(self._host, call, point)
            return await call_with_deadline(hook(plugin, subject), self._loop.time() + within_s, self._loop)
        finally:
            spent = (time.perf_counter() - started) * 1000
            call.plugin_ms[point.plugin] = round(call.plugin_ms.get(point.plugin, 0.0) + spent, 3)


def view_of(call: Call) -> Request:
    """The call as hooks see it; made when the first hook needs it."""
    request = call.hook_request
    if request is None:
        request = call.hook_request = Request(
            method=call.method,
            path=call.path,
            headers=call.headers.shown,
            body=call.body,
            query_string=call.query,
            remote_addr=call.client.remote_addr,
        )
        if call.caller is not None:
            introduce(request, call.caller)
    return request


def introduce(request: Request, caller: Caller) -> None:
    """Tell the hooks who calls."""
    request.app_id = caller.app.id
    request.user_id = caller.user_id
    request.auth_claims = caller.claims
    request.authenticated = True


def _take(call: Call, point: HookPoint, outcome: RequestOutcome) -> None:
    if outcome.block is not None:
        raise _plugin_answer(call, point, outcome.block, default_status=403)
    if outcome.request is not None:
        _note_header_changes(call, point, outcome.request)
        call.hook_request = outcome.request


def _note_header_changes(call: Call, point: HookPoint, changed: Request) -> None:
    for name, value in header_changes(view_of(call).headers, changed.headers).items():
        call.changed_headers[name] = value
        if value is not None and any(fnmatchcase(name, glob) for glob in point.shown_headers):
            call.shown_headers[name] = value


def _plugin_answer(
    call: Call, point: HookPoint, block: PluginResponse, default_status: int
) -> PluginAnswerError:
    status = block.status_code or default_status
    headers = {name.lower(): value for name, value in (block.headers or {}).items()}
    body = bytes(block.body)
    if not body and (block.error_message or status >= 400):
        message = block.error_message or f"The call was refused by the plugin {point.plugin}."
        code = "invalid_api_key" if status == 401 else "blocked_by_plugin"
        body = call.served.vendor.error(status, code, message, call.request_id)
        headers.setdefault("content-type", "application/json")
    return PluginAnswerError(point.plugin, status, headers, body)


def _rejection(call: Call, point: HookPoint, block: PluginResponse | None) -> PluginAnswerError:
    if block is None:
        block = PluginResponse(block=True, error_message="The credential was not accepted.")
    return _plugin_answer(call, point, block, default_status=401)


def _vouched(call: Call, point: HookPoint, credential: Credential) -> Caller:
    app_id = credential.app_id if credential.app_id is not None else point.default_app_id
    if app_id is None:
        raise RefusalError(
            403,
            "app_unknown",
            f"The plugin {point.plugin} accepted the caller but named no app. "
            "Set default_app_id on its attachment.",
            blocked_by=point.plugin,
        )
    app = call.configuration.snapshot.apps.get(app_id)
    if app is None:
        raise RefusalError(
            403,
            "app_unknown",
            f"The plugin {point.plugin} named app {app_id}, which does not exist.",
            blocked_by=point.plugin,
        )
    return Caller(app, user_id=credential.user_id or app.user_id, claims=dict(credential.claims))


def _closed(point: HookPoint, error: PluginError) -> RefusalError:
    if isinstance(error, PluginNotReadyError | PluginTimeoutError):
        return RefusalError(
            503,
            "plugin_unavailable",
            f"The plugin {point.plugin} guards this LLM and is not available. Try again shortly.",
            outcome="blocked",
            headers=(("retry-after", "1"),),
            blocked_by=point.plugin,
        )
    if isinstance(error, PluginTooLargeError):
        return RefusalError(
            413,
            "too_large_for_plugin",
            f"The plugin {point.plugin} guards this LLM and cannot take a body of this size.",
            outcome="blocked",
            blocked_by=point.plugin,
        )
    return RefusalError(
        500,
        "plugin_error",
        f"The plugin {point.plugin} guards this LLM and failed.",
        outcome="blocked",
        blocked_by=point.plugin,
    )
