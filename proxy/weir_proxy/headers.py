"""Headers in and out: what the gateway reads, what must not cross it, what a hook sees and may change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from weir_proxy.errors import RefusalError

RawHeaders = Sequence[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
CREDENTIAL_HEADERS = frozenset(("authorization", "x-api-key", "x-goog-api-key", "api-key"))
# What the gateway sets itself on the way up, or what belongs to the client's own hop.
_NOT_FORWARDED = (
    _HOP_BY_HOP
    | CREDENTIAL_HEADERS
    | {
        "host",
        "content-length",
        "accept-encoding",
        "cookie",
        "expect",
        "traceparent",
        "tracestate",
        "x-request-id",
    }
)
_NOT_RETURNED = _HOP_BY_HOP | {"content-length", "x-request-id", "request-id"}
_ONCE_ONLY = CREDENTIAL_HEADERS | {"content-type", "content-length", "traceparent", "x-request-id"}


class RequestHeaders:
    """A client's headers: decoded once, looked up by lower-case name, first value wins."""

    __slots__ = ("first", "items")

    def __init__(self, raw: RawHeaders) -> None:
        self.items = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
        self.first = dict(reversed(self.items))

    def get(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        return self.first.get(name)

    def refuse_duplicates(self) -> None:
        """Refuse a second copy of a header that the gateway goes by.

        Raises:
            RefusalError: 400 that names the header.
        """
        if len(self.first) == len(self.items):
            return
        for name, count in Counter(name for name, _ in self.items).items():
            if count > 1 and name in _ONCE_ONLY:
                raise RefusalError(
                    400, "duplicate_header", f"The header {name} came {count} times. Send it once."
                )


class PresentedCredential(NamedTuple):
    """The caller's key as it came; ``auth_type`` is ``bearer`` or ``api_key``."""

    secret: str
    auth_type: str


def presented_credential(headers: RequestHeaders, query: str) -> PresentedCredential | None:
    """Find the caller's key in the places the vendors' clients put it.

    Raises:
        RefusalError: 400 when two different keys came.
    """
    found: dict[str, str] = {}
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            found[token.strip()] = "bearer"
    for name in ("x-api-key", "x-goog-api-key", "api-key"):
        value = headers.get(name)
        if value:
            found.setdefault(value, "api_key")
    if "key=" in query:
        for name, value in parse_qsl(query):
            if name == "key":
                found.setdefault(value, "api_key")
    if len(found) > 1:
        raise RefusalError(
            400,
            "duplicate_credential",
            "The request carries two different API keys. Send exactly one of them.",
        )
    return next((PresentedCredential(secret, kind) for secret, kind in found.items()), None)


def query_without_key(query: str) -> str:
    """The query string for the upstream: the caller's key removed, everything else untouched."""
    if "key" not in query:
        return query
    pairs = parse_qsl(query, keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if name != "key"]
    return query if len(kept) == len(pairs) else urlencode(kept)


def upstream_headers(
    client: Iterable[tuple[str, str]],
    changed_by_plugins: Mapping[str, str | None],
    set_by_gateway: Sequence[tuple[str, str]],
) -> list[tuple[str, str]]:
    """The header list that goes upstream.

    Args:
        client: The client's headers, names in lower case.
        changed_by_plugins: Lower-case name to new value, or to None when a plugin removed it.
        set_by_gateway: Comes last and wins: the vendor's credential, trace context, request id.
    """
    named = {name for name, _ in client if name == "connection"}
    hop = _named_by_connection(client) if named else frozenset[str]()
    ours = {name for name, _ in set_by_gateway}
    headers = [
        item
        for item in client
        if item[0] not in _NOT_FORWARDED
        and item[0] not in changed_by_plugins
        and item[0] not in ours
        and item[0] not in hop
    ]
    for name, value in changed_by_plugins.items():
        if value is not None and name not in ours and name not in _HOP_BY_HOP and name != "content-length":
            headers.append((name, value))
    headers.extend(set_by_gateway)
    return headers


def client_headers(upstream: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The upstream's answer headers that pass to the client, names in lower case, repeats kept."""
    items = [(name.lower(), value) for name, value in upstream]
    hop = _named_by_connection(items)
    return [item for item in items if item[0] not in _NOT_RETURNED and item[0] not in hop]


def encode_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """For ASGI: bytes, with CR, LF and NUL made harmless."""
    return [(name.encode("latin-1", "replace"), _safe(value)) for name, value in headers]


def _safe(value: str) -> bytes:
    encoded = value.encode("latin-1", "replace")
    if b"\r" in encoded or b"\n" in encoded or b"\0" in encoded:
        encoded = encoded.replace(b"\r", b" ").replace(b"\n", b" ").replace(b"\0", b" ")
    return encoded


def _named_by_connection(items: Iterable[tuple[str, str]]) -> frozenset[str]:
    return frozenset(
        token.strip().lower() for name, value in items if name == "connection" for token in value.split(",")
    )
