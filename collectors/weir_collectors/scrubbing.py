"""What is left of an event when its app or user is erased: counts, costs, what happened; not who or what.

A closed list says what stays, so that a field which a newer release or a plugin adds is erased with the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_collectors.dead_letters import DeadLetter
from weir_collectors.decoding import ReadEvent
from weir_collectors.erasures import erasures_since
from weir_streams.events import Analytics, BudgetUsage, ProxyLog

ERASED_REASON: Final = "erased"
"""What a dead letter of an erased event gives as its reason: a plugin's own words may quote the event."""

_KEPT: Final = frozenset(
    (
        *("event_id", "spool_id", "spool_seq", "request_id", "timestamp", "edge_id", "edge_namespace"),
        *("app_id", "llm_id", "llm_slug", "vendor", "model_name", "method", "path"),
        *("response_code", "outcome", "blocked_by", "stream", "chunk_count", "latency_ms"),
        *("request_bytes", "response_bytes", "request_body_truncated", "response_body_truncated"),
        *("prompt_tokens", "response_tokens", "cache_read_tokens", "cache_write_tokens"),
        *("reasoning_tokens", "total_tokens", "usage_source", "cost", "currency", "price_version"),
        *("choices", "tool_calls", "finish_reasons", "tokens_used", "requests_count", "corrects"),
        *("period_id", "period_start", "period_end", "limit", "budget_revision"),
    )
)
_KEPT_OF_ATTEMPTS: Final = ("llm_id", "status", "latency_ms")
_EMPTY: Final[dict[str, Any]] = {"metadata": {}}
_KNOWN: Final = frozenset(
    name for kind in (ProxyLog, Analytics, BudgetUsage) for name in kind.__struct_fields__
)


def scrub(value: str) -> str:
    """An event's JSON without bodies and identifiers, marked ``erased``; the same again when repeated.

    Fields that are known and not kept become null (``metadata`` empty), so that a reader finds each in its
    place; what is not known is dropped.
    """
    event: dict[str, Any] = msgspec.json.decode(value)
    kept = {name: _kept(name, content) for name, content in event.items() if name in _KNOWN | _KEPT}
    return msgspec.json.encode(kept | {"erased": True}).decode()


def scrub_event(event: ReadEvent) -> ReadEvent:
    """The same event, scrubbed."""
    return msgspec.structs.replace(event, user_id=None, value=scrub(event.value))


async def scrub_erased(connection: AsyncConnection, events: Sequence[ReadEvent]) -> list[ReadEvent]:
    """The events in their order, those of the erased scrubbed.

    For everyone who writes events to the database, in the transaction that writes them, and for everyone
    who hands events out a second time.
    """
    erased = await erasures_since(connection, [event.timestamp_us for event in events])
    if not erased:
        return list(events)
    return [
        scrub_event(event) if erased.cover(event.app_id, event.user_id, event.timestamp_us) else event
        for event in events
    ]


async def scrub_letters(connection: AsyncConnection, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """The same for dead letters, in the transaction that writes them."""
    events = await scrub_erased(connection, [letter.event for letter in letters])
    return [
        letter if letter.event is event else replace(letter, event=event, reason=ERASED_REASON, unquoted=None)
        for letter, event in zip(letters, events, strict=True)
    ]


def _kept(name: str, content: Any) -> Any:
    if name == "attempts":
        return [{part: attempt.get(part) for part in _KEPT_OF_ATTEMPTS} for attempt in content]
    return content if name in _KEPT else _EMPTY.get(name)
