"""Requests on the wire, and what request hooks answered to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from weir_proto import plugin_pb2 as pb
from weir_sdk.answers import Credential, PluginResponse
from weir_sdk.context import CallInfo
from weir_sdk.errors import RubbishError
from weir_sdk.headers import Headers
from weir_sdk.outcomes import RequestOutcome, auth_outcome, request_outcome
from weir_sdk.request import Request
from weir_sdk.wire.context import MetadataChange, Peer, context_from_wire, context_to_wire

_KEY_HEADERS: Final = ("X-Api-Key", "X-Goog-Api-Key", "Api-Key")


def request_to_wire(call: CallInfo, request: Request, peer: Peer) -> pb.PluginRequest:
    """A request for ProcessPreAuth, and as a part of the other two."""
    wire = pb.PluginRequest(
        method=request.method,
        path=request.path,
        headers=request.headers,
        body=request.body,
        context=context_to_wire(call, peer, query_string=request.query_string),
        remote_addr=request.remote_addr,
    )
    if peer.ours:
        wire.query_string = request.query_string
    return wire


def enriched_to_wire(call: CallInfo, request: Request, peer: Peer) -> pb.EnrichedRequest:
    """A request whose sender is known, for ProcessPostAuth."""
    return pb.EnrichedRequest(
        request=request_to_wire(call, request, peer),
        user_id=request.user_id or "",
        app_id="" if request.app_id is None else str(request.app_id),
        auth_claims=request.auth_claims,
        authenticated=request.authenticated,
    )


def auth_to_wire(call: CallInfo, request: Request, peer: Peer) -> pb.AuthRequest:
    """A request and the credential in it, for Authenticate."""
    credential, kind = credential_of(request)
    wire = request_to_wire(call, request, peer)
    return pb.AuthRequest(credential=credential, auth_type=kind, request=wire, context=wire.context)


def credential_of(request: Request) -> tuple[str, str]:
    """What the caller shows, and its kind: ``bearer``, ``api_key``, or empty where there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip(), "bearer"
    for name in _KEY_HEADERS:
        if key := request.headers.get(name):
            return key, "api_key"
    keys = parse_qs(request.query_string).get("key")
    return (keys[0], "api_key") if keys else ("", "")


def request_from_wire(wire: pb.PluginRequest) -> tuple[CallInfo, Request]:
    """What handle_pre_auth gets."""
    call = context_from_wire(wire.context)
    query = wire.query_string if wire.HasField("query_string") else call.metadata.get("query_string", "")
    request = Request(
        method=wire.method,
        path=wire.path,
        headers=Headers(wire.headers),
        body=wire.body,
        query_string=query,
        remote_addr=wire.remote_addr,
    )
    return call, request


def enriched_from_wire(wire: pb.EnrichedRequest) -> tuple[CallInfo, Request]:
    """What handle_post_auth gets."""
    call, request = request_from_wire(wire.request)
    request.user_id = wire.user_id or None
    request.app_id = int(wire.app_id) if wire.app_id.isdecimal() else None
    request.auth_claims = dict(wire.auth_claims)
    request.authenticated = wire.authenticated
    return call, request


def auth_from_wire(wire: pb.AuthRequest) -> tuple[CallInfo, Request]:
    """What handle_auth gets. The credential is where the client put it, in the headers or the query."""
    call, request = request_from_wire(wire.request)
    return (context_from_wire(wire.context) if wire.HasField("context") else call), request


def request_outcome_to_wire(
    outcome: RequestOutcome, given: Request, change: MetadataChange
) -> pb.PluginResponse:
    """What a pre_auth or post_auth handler decided about the request that it was given."""
    wire = pb.PluginResponse(context_updates=change.set, removed_metadata=change.removed)
    if outcome.block is not None:
        wire.block = True
        wire.status_code = outcome.block.status_code
        wire.headers.update(outcome.block.headers or {})
        wire.body = outcome.block.body
        wire.error_message = outcome.block.error_message
    elif outcome.request is not None:
        wire.modified = True
        _put_changes(wire, outcome.request, given)
    return wire


def request_outcome_from_wire(wire: pb.PluginResponse, given: Request) -> RequestOutcome:
    """What a plugin decided about a request. Its metadata are the caller's to keep (``keep_wire_metadata``).

    Raises:
        RubbishError: The answer cannot be used.
    """
    shown = given.copy()
    if wire.modified:
        _take_changes(wire, shown)
    answer = PluginResponse(
        modified=wire.modified,
        block=wire.block,
        status_code=wire.status_code,
        headers=dict(wire.headers),
        body=wire.body,
        error_message=wire.error_message,
        context_updates=dict(wire.context_updates) or None,
    )
    return request_outcome(answer, shown, given)


def auth_outcome_to_wire(outcome: RequestOutcome, change: MetadataChange) -> pb.AuthResponse:
    """What an auth handler decided about the caller."""
    wire = pb.AuthResponse(context_updates=change.set, removed_metadata=change.removed)
    block, credential = outcome.block, outcome.credential
    if block is not None:
        wire.status_code = block.status_code
        wire.headers.update(block.headers or {})
        wire.body = block.body
        wire.error_message = block.error_message
    elif credential is not None:
        wire.authenticated = True
        wire.user_id = credential.user_id
        wire.app_id = "" if credential.app_id is None else str(credential.app_id)
        wire.claims.update(credential.claims)
        wire.username = credential.username
    return wire


def auth_outcome_from_wire(wire: pb.AuthResponse) -> RequestOutcome:
    """What a plugin decided about the caller; a reason for not knowing it makes that a refusal.

    Raises:
        RubbishError: The answer cannot be used.
    """
    updates = dict(wire.context_updates) or None
    if wire.authenticated:
        credential = Credential(
            user_id=wire.user_id,
            username=wire.username,
            claims=dict(wire.claims),
            app_id=_app_id(wire.app_id),
        )
        return auth_outcome(PluginResponse(credential=credential, context_updates=updates))
    refused = bool(wire.status_code or wire.error_message)
    answer = PluginResponse(
        block=refused,
        status_code=wire.status_code,
        headers=dict(wire.headers),
        body=wire.body,
        error_message=wire.error_message,
        context_updates=updates,
    )
    return auth_outcome(answer)


def header_changes(changed: Mapping[str, str], given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The headers that are new or different, and the names of those that are gone."""
    new = {name: value for name, value in changed.items() if given.get(name) != value}
    return new, [name for name in given if name not in changed]


def _put_changes(wire: pb.PluginResponse, changed: Request, given: Request) -> None:
    new, removed = header_changes(changed.headers, given.headers)
    wire.headers.update(new)
    wire.removed_headers.extend(removed)
    if changed.body != given.body:
        wire.body = changed.body
        wire.body_removed = not changed.body
    if changed.method != given.method:
        wire.method = changed.method
    if changed.path != given.path:
        wire.path = changed.path
    if changed.query_string != given.query_string:
        wire.query_string = changed.query_string


def _take_changes(wire: pb.PluginResponse, shown: Request) -> None:
    for name in wire.removed_headers:
        shown.headers.pop(name, None)
    if wire.body_removed:
        shown.body = b""
    if wire.HasField("method"):
        shown.method = wire.method
    if wire.HasField("path"):
        shown.path = wire.path
    if wire.HasField("query_string"):
        shown.query_string = wire.query_string


def _app_id(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdecimal():
        raise RubbishError(f"set app_id to {text!r}; it is a decimal number, or empty")
    return int(text)
