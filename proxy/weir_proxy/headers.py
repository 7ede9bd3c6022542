"""Headers in and out: what the gateway reads, what must not cross it, what a hook sees and may change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from weir_core.vendors import CREDENTIAL_HEADERS
from weir_proxy.errors import RefusalError
from weir_sdk import Headers

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
_FRAMING = _HOP_BY_HOP | {"host", "content-length", "expect"}
_OWN = frozenset(("accept-encoding", "traceparent", "tracestate", "x-request-id"))
# What the gateway sets itself on the way up, or what belongs to the client's own hop.
_NOT_FORWARDED = _FRAMING | CREDENTIAL_HEADERS | _OWN | {"cookie"}
_NOT_RETURNED = _HOP_BY_HOP | {"content-length", "x-request-id", "request-id"}
_ONCE_ONLY = CREDENTIAL_HEADERS | {"content-type", "content-length", "traceparent", "x-request-id"}


class PresentedCredential(NamedTuple):
    """The caller's key as it came; ``auth_type`` is ``bearer`` or ``api_key``."""

    secret: str
    auth_type: str


class RequestHeaders:
    """A client's headers: decoded once, looked up by lower-case name, first value wins.

    Clients repeat the same headers on a connection, so what is worked out here is kept with them (see
    ``weir_proxy.protocol``). Nothing in it depends on anything but the headers.
    """

    def __init__(self, raw: RawHeaders) -> None:
        # The parser leaves spaces behind a value, which are no part of it (RFC 9110, section 5.5).
        self.items = [(name.decode("latin-1"), value.decode("latin-1").rstrip(" \t")) for name, value in raw]
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

    @cached_property
    def keys(self) -> tuple[PresentedCredential, ...]:
        """Every different key in a place where a vendor's client puts it."""
        found: dict[str, str] = {}
        scheme, _, token = self.first.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            found[token.strip()] = "bearer"
        for name in ("x-api-key", "x-goog-api-key", "api-key"):
            if value := self.first.get(name):
                found.setdefault(value, "api_key")
        return tuple(PresentedCredential(secret, kind) for secret, kind in found.items())

    @cached_property
    def shown(self) -> Headers:
        """What hooks are shown; the plugin host hands each of them a copy."""
        return Headers.from_pairs(self.items)

    @cached_property
    def forwarded(self) -> list[tuple[str, str]]:
        """What of them goes upstream when no plugin changes it."""
        hop = _named_by_connection(self.items)
        return [item for item in self.items if item[0] not in _NOT_FORWARDED and item[0] not in hop]

    @cached_property
    def forwarded_lines(self) -> str:
        """The same as header lines."""
        return header_lines(self.forwarded)


def presented_credential(headers: RequestHeaders, query: str) -> PresentedCredential | None:
    """The caller's key, from its headers or from ``?key=``.

    Raises:
        RefusalError: 400 when two different keys came.
    """
    keys = headers.keys
    if _may_hold_key(query):
        known = {key.secret for key in keys}
        in_query = {value for name, value in parse_qsl(query) if name == "key"} - known
        keys += tuple(PresentedCredential(secret, "api_key") for secret in in_query)
    if len(keys) > 1:
        raise RefusalError(
            400,
            "duplicate_credential",
            "The request carries two different API keys. Send exactly one of them.",
        )
    return keys[0] if keys else None


def query_without_key(query: str) -> str:
    """The query string for the upstream: the caller's key removed, everything else untouched."""
    if not _may_hold_key(query):
        return query
    pairs = parse_qsl(query, keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if name != "key"]
    return query if len(kept) == len(pairs) else urlencode(kept)


def header_lines(items: Iterable[tuple[str, str]]) -> str:
    """Headers as they stand in a message, each line ended by CRLF.

    Raises:
        ValueError: One of them holds a line break.
    """
    lines = [f"{name}: {value}\r\n" for name, value in items]
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines):
        raise ValueError("a header holds a line break")
    return text


def reserved_headers(set_by_gateway: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The names that no plugin may set on what goes upstream, given what the gateway itself sets there.

    Beside a vendor's credential there is no room for another one, in whatever header.
    """
    ours = _FRAMING | _OWN | {name for name, _ in set_by_gateway}
    return ours if ours.isdisjoint(CREDENTIAL_HEADERS) else ours | CREDENTIAL_HEADERS


def upstream_lines(
    client: RequestHeaders, changed_by_plugins: Mapping[str, str | None], reserved: frozenset[str]
) -> str:
    """The header lines that go upstream, but for those that the gateway sets.

    Args:
        client: The client's headers.
        changed_by_plugins: Lower-case name to new value, or to None when a plugin removed it.
        reserved: Names that no plugin may set (see ``reserved_headers``).
    """
    if not changed_by_plugins:
        return client.forwarded_lines
    kept = client.forwarded_lines
    if not client.first.keys().isdisjoint(changed_by_plugins):
        kept = header_lines(item for item in client.forwarded if item[0] not in changed_by_plugins)
    return kept + header_lines(
        (name, value)
        for name, value in changed_by_plugins.items()
        # A plugin that only tidied the client's key up has not made it the vendor's.
        if value is not None and name not in reserved and not any(key.secret in value for key in client.keys)
    )


def header_changes(before: Headers, after: Headers) -> dict[str, str | None]:
    """What a plugin changed: lower-case name to its new value, or to None where it removed the header."""
    # dict's own methods: both maps hold canonical names already.
    changes: dict[str, str | None] = {
        name.lower(): value for name, value in after.items() if dict.get(before, name) != value
    }
    changes.update((name.lower(), None) for name in before if not dict.__contains__(after, name))
    return changes


def client_headers(upstream: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The upstream's answer headers (names in lower case) that pass to the client, repeats kept."""
    hop = _named_by_connection(upstream)
    return [item for item in upstream if item[0] not in _NOT_RETURNED and item[0] not in hop]


def _may_hold_key(query: str) -> bool:
    """A quick no for most queries; the name may be percent-encoded."""
    return "key" in query or "%" in query


def _named_by_connection(items: Iterable[tuple[str, str]]) -> frozenset[str]:
    named = [value for name, value in items if name == "connection"]
    return frozenset(token.strip().lower() for value in named for token in value.split(","))
