"""What a handler's answer means: the rules of the hooks, in one place for every kind of plugin.

The gateway judges what handlers in its own process return, and what plugins on the wire answer; ``serve``
judges what handlers return before it puts that on the wire, so that a mistake has the same words everywhere.

``block`` is looked at before ``modified``; with ``modified`` false the echoed request does not count; nothing
returned means that the changes made in place count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from weir_sdk.answers import Credential, DataCollectionResponse, PluginResponse
from weir_sdk.checks import (
    check_body,
    check_changed_headers,
    check_flag,
    check_method,
    check_path,
    check_query,
    check_status,
    check_text,
    check_texts,
    checked_headers,
)
from weir_sdk.context import CallInfo, Context
from weir_sdk.errors import BodyNotJsonError, RubbishError
from weir_sdk.request import Request
from weir_sdk.response import Response, ResponseWriteResponse


class RequestOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a request hook decided, checked and in one form. ``block`` comes before everything else.

    Attributes:
        request: The changed request; None means unchanged.
        block: A refusal or an answer: ``status_code`` is set (403 unless the plugin named one, 401 from an
            auth hook), header names are canonical, and Content-Length, Connection and Transfer-Encoding are
            gone.
        credential: Who calls (auth hooks only).
        context_updates: What the hook changed in the call's metadata.
    """

    request: Request | None = None
    block: PluginResponse | None = None
    credential: Credential | None = None
    context_updates: dict[str, str] | None = None


_UNCHANGED: Final = RequestOutcome()


def request_outcome(answer: object, shown: Request, given: Request) -> RequestOutcome:
    """Judge the answer of a pre_auth or post_auth handler.

    Args:
        answer: What the handler returned.
        shown: The copy that the handler worked on.
        given: The request as it was before.

    Raises:
        RubbishError: The answer cannot be used.
    """
    if answer is None:
        changed = changed_request(shown, given)
        return _UNCHANGED if changed is None else RequestOutcome(request=changed)
    response = _expect_plugin_response(answer)
    updates = _updates(response)
    if check_flag(response.block, "block"):
        return RequestOutcome(block=_block(response), context_updates=updates)
    if not check_flag(response.modified, "modified"):
        return RequestOutcome(context_updates=updates)
    request = _merged_request(response, shown)
    return RequestOutcome(request=changed_request(request, given), context_updates=updates)


def auth_outcome(answer: object) -> RequestOutcome:
    """Judge the answer of an auth handler; neither block nor credential means that it has no answer.

    Raises:
        RubbishError: The answer cannot be used.
    """
    if answer is None:
        return _UNCHANGED
    response = _expect_plugin_response(answer)
    updates = _updates(response)
    if check_flag(response.block, "block"):
        return RequestOutcome(block=_block(response, default_status=401), context_updates=updates)
    if response.credential is None:
        return RequestOutcome(context_updates=updates)
    return RequestOutcome(credential=_checked_credential(response.credential), context_updates=updates)


def response_outcome(answer: object, shown: Response, given: Response, *, with_body: bool) -> Response | None:
    """Judge the answer of a response handler; None means that the response stays as it was.

    Args:
        answer: What the handler returned.
        shown: The copy that the handler worked on.
        given: The response as it was before.
        with_body: Whether this is the body's phase; before it, changes to the body do not count.

    Raises:
        RubbishError: The answer cannot be used.
    """
    if answer is not None:
        if not isinstance(answer, ResponseWriteResponse):
            raise RubbishError(f"returned {type(answer).__name__}; return None or ResponseWriteResponse")
        if not check_flag(answer.modified, "modified"):
            return None
        if answer.headers is not None:
            shown.headers.update(checked_headers(answer.headers))
        if answer.body is not None:
            shown.body = answer.body
    if not with_body:
        shown.body = given.body
    if shown.is_stream_chunk:
        # The head of a stream has left before its first event; only the event itself can change.
        shown.headers, shown.status_code = given.headers, given.status_code
    return changed_response(shown, given)


def collector_outcome(answer: object) -> DataCollectionResponse:
    """Judge the answer of a collector about one event; None means collected, not handled.

    Raises:
        RubbishError: The answer cannot be used.
    """
    if answer is None:
        return DataCollectionResponse()
    if not isinstance(answer, DataCollectionResponse):
        raise RubbishError(f"returned {type(answer).__name__}; return None or DataCollectionResponse")
    success = check_flag(answer.success, "success")
    return DataCollectionResponse(
        success=success,
        handled=check_flag(answer.handled, "handled") and success,
        error_message=check_text(answer.error_message, "error_message"),
        retryable=check_flag(answer.retryable, "retryable"),
    )


def batch_outcome(answer: object, count: int) -> list[DataCollectionResponse]:
    """Judge the answer of a batch collector.

    Raises:
        RubbishError: It is not one usable answer for each of ``count`` events.
    """
    if answer is None:
        return [DataCollectionResponse() for _ in range(count)]
    if not isinstance(answer, Sequence) or isinstance(answer, str | bytes):
        raise RubbishError(f"returned {type(answer).__name__}; return None or a list of responses")
    if len(answer) != count:
        raise RubbishError(f"returned {len(answer)} responses to {count} events")
    return [collector_outcome(item) for item in answer]


def stream_outcome(answer: object) -> None:
    """Judge the answer of a stream's last hook, which can change nothing any more.

    Raises:
        RubbishError: It is not None.
    """
    if answer is not None:
        raise RubbishError(f"returned {type(answer).__name__}; return None")


def keep_metadata(context: Context, call: CallInfo, updates: dict[str, str] | None = None) -> None:
    """Write what a handler noted in its metadata to the call.

    Raises:
        RubbishError: It is not text to text; the call's metadata are left alone.
    """
    touched = context.touched_metadata
    if touched is not None and touched != call.metadata:
        check_texts(touched, "metadata")
        call.metadata.clear()
        call.metadata.update(touched)
    if updates:
        call.metadata.update(updates)


def _expect_plugin_response(answer: object) -> PluginResponse:
    if not isinstance(answer, PluginResponse):
        raise RubbishError(f"returned {type(answer).__name__}; return None or PluginResponse")
    return answer


def _updates(response: PluginResponse) -> dict[str, str] | None:
    if response.context_updates is None:
        return None
    return check_texts(response.context_updates, "context_updates")


def _block(response: PluginResponse, default_status: int = 403) -> PluginResponse:
    status = default_status if response.status_code == 0 else response.status_code
    check_status(status)
    check_body(response.body)
    return PluginResponse(
        block=True,
        status_code=status,
        headers=checked_headers(response.headers or {}),
        body=response.body,
        error_message=check_text(response.error_message, "error_message"),
    )


def _checked_credential(credential: object) -> Credential:
    if not isinstance(credential, Credential):
        raise RubbishError(f"set credential to a {type(credential).__name__}; it is a weir_sdk.Credential")
    check_text(credential.user_id, "credential.user_id")
    check_text(credential.username, "credential.username")
    check_texts(credential.claims, "credential.claims")
    if credential.app_id is not None and type(credential.app_id) is not int:
        raise RubbishError(f"set credential.app_id to {credential.app_id!r}; it is an int or None")
    return msgspec.structs.replace(credential, claims=dict(credential.claims))


def _merged_request(response: PluginResponse, shown: Request) -> Request:
    request = shown
    if response.request is not None and response.request is not shown:
        if not isinstance(response.request, Request):
            raise RubbishError(f"set request to a {type(response.request).__name__}; it is a Request")
        request = response.request.copy()
    if response.headers:
        request.headers.update(checked_headers(response.headers))
    check_body(response.body)
    if response.body:
        request.body = response.body
    return request


def changed_request(changed: Request, given: Request) -> Request | None:
    """The changed request, checked and with who calls as it was given; None when nothing is changed.

    Raises:
        RubbishError: What was changed cannot be used.
    """
    same = True
    if changed.method != given.method:
        check_method(changed.method)
        same = False
    if changed.path != given.path:
        check_path(changed.path)
        same = False
    if changed.query_string != given.query_string:
        check_query(changed.query_string)
        same = False
    if changed.headers != given.headers:
        changed.headers = check_changed_headers(changed.headers, given.headers)
        same = same and changed.headers == given.headers
    body = _body_of(changed)
    if body != given.body:
        check_body(body)
        same = False
    if same:
        return None
    # Who calls is the gateway's to say, not a hook's.
    changed.user_id, changed.app_id, changed.remote_addr = given.user_id, given.app_id, given.remote_addr
    changed.auth_claims, changed.authenticated = given.auth_claims, given.authenticated
    return changed


def changed_response(changed: Response, given: Response) -> Response | None:
    """The changed answer, checked; None when nothing is changed.

    Raises:
        RubbishError: What was changed cannot be used.
    """
    same = True
    if changed.status_code != given.status_code:
        check_status(changed.status_code)
        same = False
    if changed.headers != given.headers:
        changed.headers = check_changed_headers(changed.headers, given.headers)
        same = same and changed.headers == given.headers
    body = _body_of(changed)
    if body != given.body:
        check_body(body)
        same = False
    changed.is_stream_chunk, changed.request_id = given.is_stream_chunk, given.request_id
    return None if same else changed


def _body_of(changed: Request | Response) -> bytes:
    try:
        return changed.body
    except BodyNotJsonError as error:
        raise RubbishError(str(error)) from error
