"""What a plugin did to something it was shown, as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from weir_sdk import Credential, PluginResponse, Request, Response

Outcome = Literal[
    "unchanged",
    "changed",
    "blocked",
    "answered",
    "authenticated",
    "no_answer",
    "collected",
    "handled",
    "failed",
]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is different. ``before`` or ``after`` None: it was not there, or is not any more.

    ``what`` is ``method``, ``path``, ``query_string``, ``status_code``, ``body``, ``events``,
    ``header <name>`` or ``metadata <name>``. A body is the JSON that it holds, where it is JSON.
    """

    what: str
    before: Any = None
    after: Any = None


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """What the client gets in place of the model's answer."""

    status_code: int
    headers: dict[str, str] = {}
    body: Any = None
    error_message: str = ""


class Effect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one hook did.

    Attributes:
        subject: What it was shown: a request's id, or an event's.
        hook: The handler's name.
        outcome: In one word; ``answered`` is a block with a status below 400.
        took_ms: Milliseconds, as the gateway would have waited; of all its calls where there are several.
        calls: How often it was called: once for each event of a stream.
        changes: What the next hook, or the upstream, or the client sees differently.
        block: Where it blocked.
        credential: Who calls, in the words of an auth hook.
        error: Why it failed.
        retryable: Whether a gateway would have tried again.
    """

    subject: str
    hook: str
    outcome: Outcome
    took_ms: float
    calls: int = 1
    changes: tuple[Change, ...] = ()
    block: Block | None = None
    credential: Credential | None = None
    error: str = ""
    retryable: bool = False


def request_changes(before: Request, after: Request) -> Iterator[Change]:
    """How two requests differ."""
    for name in ("method", "path", "query_string"):
        yield from _if_different(name, getattr(before, name), getattr(after, name))
    yield from _mapping_changes("header", before.headers, after.headers)
    yield from _body_changes(before.body, after.body)


def response_changes(before: Response, after: Response) -> Iterator[Change]:
    """How two answers differ."""
    yield from _if_different("status_code", before.status_code, after.status_code)
    yield from _mapping_changes("header", before.headers, after.headers)
    yield from _body_changes(before.body, after.body)


def metadata_changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    """How the notes of a call differ."""
    return _mapping_changes("metadata", before, after)


def event_changes(before: list[bytes], after: list[bytes]) -> Iterator[Change]:
    """How the events of a stream differ, by their data."""
    if before != after:
        yield Change(what="events", before=list(map(readable, before)), after=list(map(readable, after)))


def block_of(response: PluginResponse) -> Block:
    """A block, readable."""
    return Block(
        status_code=response.status_code,
        headers=dict(response.headers or {}),
        body=readable(response.body) if response.body else None,
        error_message=response.error_message,
    )


def readable(body: bytes) -> Any:
    """The JSON that a body is; else its text."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "backslashreplace")


def _body_changes(before: bytes, after: bytes) -> Iterator[Change]:
    if before != after:
        yield Change(what="body", before=readable(before), after=readable(after))


def _mapping_changes(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in (*before, *(name for name in after if name not in before)):
        yield from _if_different(f"{kind} {name}", before.get(name), after.get(name))


def _if_different(what: str, before: object, after: object) -> Iterator[Change]:
    if before != after:
        yield Change(what=what, before=before, after=after)
