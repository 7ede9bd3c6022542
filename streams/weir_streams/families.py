"""A request's event family as one record, made smaller where the disk leaves no room for all of it.

A family is a finished call, which is how proxies write it, or events as they are.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from weir_streams.admission import cut
from weir_streams.calls import CallRecord
from weir_streams.errors import FamilyError
from weir_streams.events import Analytics, Event, ProxyLog, encode
from weir_streams.segment import FAMILY, encode_call_record, encode_record

Family = CallRecord | Sequence[Event]

_SHORTER: Final = (512, 128, 32)
_MOST_ATTEMPTS: Final = 4
_MOST_REASONS: Final = 4
_FREE_TEXT: Final = (
    "client_request_id",
    "trace_id",
    "edge_id",
    "edge_namespace",
    "user_id",
    "llm_slug",
    "vendor",
    "model_name",
    "method",
    "path",
    "blocked_by",
    "price_version",
)
# What foreign objects in a plugin's metadata make the encoder raise.
UNENCODABLE: Final = (TypeError, ValueError, OverflowError, RecursionError)


def encode_family(family: Family, spool_id: str, seq: int, wall_us: int) -> bytes:
    """Number the events and encode them as one record.

    Raises:
        TypeError, ValueError, OverflowError, RecursionError: A field holds what JSON cannot.
    """
    if isinstance(family, CallRecord):
        return encode_call_record(family, spool_id, seq, wall_us)
    encoded = []
    for number, event in enumerate(family, seq):
        event.spool_id = spool_id
        event.spool_seq = number
        encoded.append(encode(event))
    return encode_record(FAMILY, seq, wall_us, encoded)


def fit_family(family: Family, spool_id: str, seq: int, wall_us: int, most_bytes: int) -> bytes:
    """The fullest form of the family that takes at most ``most_bytes``.

    Bodies go first, then metadata and the ends of long texts; ids, counts and costs always stay.

    Raises:
        FamilyError: Not even the barest form can be encoded.
    """
    problem: Exception | None = None
    for smaller in _forms(family.events() if isinstance(family, CallRecord) else family):
        try:
            record = encode_family(smaller, spool_id, seq, wall_us)
        except UNENCODABLE as error:
            problem = error
            continue
        if len(record) <= most_bytes:
            return record
    raise FamilyError(
        f"an event family cannot be encoded in {most_bytes} bytes ({problem or 'too long'}); "
        "its slot stays taken and it is recovered at the next start"
    )


def without_body(event: Event) -> Event:
    """A copy that says a body was there, and its hash, but not the body."""
    if not isinstance(event, ProxyLog):
        return event
    return msgspec.structs.replace(
        event,
        **_no_body(
            "request_body", event.request_body, event.request_body_encoding, event.request_body_sha256
        ),
        **_no_body(
            "response_body", event.response_body, event.response_body_encoding, event.response_body_sha256
        ),
    )


def _no_body(field: str, body: str | None, encoding: str | None, sha256: str | None) -> dict[str, Any]:
    if body is None:
        return {}
    if sha256 is None:
        whole = _decode(body) if encoding == "base64" else body.encode("utf-8", "replace")
        sha256 = hashlib.sha256(whole).hexdigest()
    return {field: None, f"{field}_encoding": None, f"{field}_truncated": True, f"{field}_sha256": sha256}


def _decode(body: str) -> bytes:
    try:
        return base64.b64decode(body)
    except ValueError:
        return body.encode("utf-8", "replace")


def _forms(family: Sequence[Event]) -> Iterator[list[Event]]:
    yield list(family)
    bodiless = [without_body(event) for event in family]
    yield bodiless
    for most_bytes in _SHORTER:
        yield [_bare(event, most_bytes) for event in bodiless]


def _bare(event: Event, most_bytes: int) -> Event:
    """A copy without what plugins and upstreams can make long."""
    changes: dict[str, Any] = {
        name: cut(text, most_bytes)
        for name in _FREE_TEXT
        if isinstance(text := getattr(event, name, None), str)
    }
    if isinstance(event, ProxyLog | Analytics):
        changes["attempts"] = [
            msgspec.structs.replace(
                attempt,
                error=attempt.error and cut(attempt.error, most_bytes),
                upstream_request_id=attempt.upstream_request_id
                and cut(attempt.upstream_request_id, most_bytes),
            )
            for attempt in event.attempts[-_MOST_ATTEMPTS:]
        ]
    if isinstance(event, Analytics):
        changes["finish_reasons"] = [cut(text, 32) for text in event.finish_reasons[:_MOST_REASONS]]
    if isinstance(event, ProxyLog):
        changes["latency_ms"] = msgspec.structs.replace(event.latency_ms, plugins={})
        changes["metadata"] = {"weir_truncated": True}
    return msgspec.structs.replace(event, **changes)
