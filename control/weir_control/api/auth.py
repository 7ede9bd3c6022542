"""Who calls the management API, and what their role lets them do. Runs before a body is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from weir_control.api.access import permission_for
from weir_control.api.docs import DOCS_PATHS
from weir_control.api.problems import ProblemResponse, nothing_at
from weir_control.api.refusals import log_refusal
from weir_control.errors import ControlError, NotFoundError, UnauthorizedError
from weir_control.principal import API_PREFIX, Principal

_OPEN_PATHS: Final = frozenset(("/health", "/ready", "/openapi.json", *DOCS_PATHS))
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="weir"'}


FindPrincipal = Callable[[str], Awaitable[Principal | None]]
"""Looks a bearer secret up; None when there is no such token."""


class Authentication:
    """ASGI middleware: everything but the documentation and the health checks needs a management token."""

    def __init__(self, app: ASGIApp, find: FindPrincipal) -> None:
        self._app = app
        self._find = find

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in _OPEN_PATHS:
            principal = None
            try:
                principal = await self._principal(scope)
                _admit(principal, scope)
            except ControlError as error:
                log_refusal(scope, error, principal)
                challenge = _CHALLENGE if isinstance(error, UnauthorizedError) else None
                await ProblemResponse(error, challenge)(scope, receive, send)
                return
            scope = {**scope, "weir.principal": replace(principal, request_id=scope["weir.request_id"])}
        await self._app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal:
        secret = _bearer(scope)
        if secret.startswith("wk_"):
            raise UnauthorizedError("This is an app's credential. The management API takes a token (wt_...).")
        principal = await self._find(secret)
        if principal is None:
            raise UnauthorizedError("The management token is not valid here.")
        return principal


def _admit(principal: Principal, scope: Scope) -> None:
    path = scope["path"]
    if path.startswith(f"{API_PREFIX}/"):
        permission = permission_for(scope["method"], path)
        if permission is None:
            raise NotFoundError(nothing_at(path))
        principal.require(permission)


def _bearer(scope: Scope) -> str:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) != 1:
        raise UnauthorizedError("Send one management token as 'Authorization: Bearer wt_...'.")
    scheme, _, secret = values[0].partition(b" ")
    if scheme.lower() != b"bearer" or not secret.strip():
        raise UnauthorizedError("Send the management token as 'Authorization: Bearer wt_...'.")
    # The same decoding as the hash of a token undoes, so that any bytes at all can be compared.
    text: str = secret.strip().decode("utf-8", "surrogateescape")
    return text
