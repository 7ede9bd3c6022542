"""The request, as the hooks of the request side read and change it."""

from __future__ import annotations

from collections.abc import Mapping

from weir_sdk.body import JsonBody
from weir_sdk.headers import Headers


class Request(JsonBody):
    """One call on its way to the model. Change it in place and return nothing, and the change is made.

    ``method``, ``path``, ``query_string``, ``headers`` and ``body`` may be changed. The rest says who calls;
    changes to it are ignored. Content-Length, Connection and Transfer-Encoding are the gateway's own.

    Attributes:
        path: As the client sent it, without the query string.
        headers: First value of each header, see ``Headers``.
        query_string: Without the question mark.
        remote_addr: ``ip:port`` of the client.
        user_id: None until somebody has said who calls.
        app_id: None until then, too.
        auth_claims: What the auth plugin said about the caller.
        authenticated: Whether the caller has been checked.
    """

    __slots__ = (
        "app_id",
        "auth_claims",
        "authenticated",
        "headers",
        "method",
        "path",
        "query_string",
        "remote_addr",
        "user_id",
    )

    def __init__(
        self,
        *,
        method: str = "POST",
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        query_string: str = "",
        remote_addr: str = "",
        user_id: str | None = None,
        app_id: int | None = None,
        auth_claims: dict[str, str] | None = None,
        authenticated: bool = False,
    ) -> None:
        super().__init__(body)
        self.method = method
        self.path = path
        self.headers = headers if isinstance(headers, Headers) else Headers(headers or {})
        self.query_string = query_string
        self.remote_addr = remote_addr
        self.user_id = user_id
        self.app_id = app_id
        self.auth_claims = {} if auth_claims is None else auth_claims
        self.authenticated = authenticated

    def copy(self) -> Request:
        """An independent copy; what ``json()`` returned stays with the original."""
        twin = Request.__new__(Request)
        twin._body = self.body
        twin._as_parsed = None
        twin.method = self.method
        twin.path = self.path
        twin.headers = self.headers.copy()
        twin.query_string = self.query_string
        twin.remote_addr = self.remote_addr
        twin.user_id = self.user_id
        twin.app_id = self.app_id
        twin.auth_claims = self.auth_claims.copy()
        twin.authenticated = self.authenticated
        return twin

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path} app_id={self.app_id} {len(self._body)} bytes>"
