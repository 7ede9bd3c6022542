"""The events of a call that stands in a spool, made of its JSON when somebody asks for them.

What a call and its event share is copied as the JSON that it is; nothing of it is understood on the way.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from weir_core.clock import rfc3339
from weir_core.periods import month_at
from weir_streams.admission import EventIds
from weir_streams.events import (
    ANALYTICS_TOPIC,
    BUDGET_USAGE_TOPIC,
    PROXY_LOG_TOPIC,
    Analytics,
    BudgetUsage,
    Event,
    ProxyLog,
)

CALL_TOPICS: Final = (PROXY_LOG_TOPIC, ANALYTICS_TOPIC, BUDGET_USAGE_TOPIC)
"""Of the events of a call, in their order."""

_NULL: Final = msgspec.Raw(b"null")


class StoredEvent:
    """One event of a call in the spool: routing key and JSON value, made when it is asked for."""

    __slots__ = ("_position", "_seq", "_stored", "key", "topic")

    def __init__(self, stored: _StoredCall, position: int, seq: int, key: bytes) -> None:
        self.topic = CALL_TOPICS[position]
        self.key = key
        self._stored = stored
        self._position = position
        self._seq = seq

    @property
    def value(self) -> bytes:
        """The event as it stands on its topic."""
        stored, position = self._stored, self._position
        event = _COPIES[position].decode(stored.value)
        event.event_id = stored.facts.event_ids[position]
        event.timestamp = rfc3339(stored.facts.started_us)
        event.spool_seq = self._seq
        _FILLERS[position](event, stored.facts, stored.metadata)
        return _ENCODER.encode(event)


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that a call does not share with its events, or that an event has under a second name."""

    event_ids: EventIds
    started_us: int
    total_ms: msgspec.Raw = msgspec.Raw(b"0.0")
    upstream_ms: msgspec.Raw = _NULL
    first_byte_ms: msgspec.Raw = _NULL
    plugin_ms: msgspec.Raw = msgspec.Raw(b"{}")
    answered_by: Any = None
    total_tokens: msgspec.Raw = msgspec.Raw(b"0")


class _StoredCall(NamedTuple):
    """A call that was read: its JSON, what its events do not copy from there, and its metadata."""

    value: bytes
    facts: _Facts
    metadata: msgspec.Raw


def decode_call(key: bytes, metadata: bytes, value: bytes, seq: int, count: int) -> tuple[StoredEvent, ...]:
    """The events of a stored call, of which the first has the number ``seq``.

    Raises:
        msgspec.MsgspecError, TypeError, ValueError, LookupError: It is no call.
    """
    stored = _StoredCall(value, _FACTS.decode(value), msgspec.Raw(metadata or b"{}"))
    return tuple([StoredEvent(stored, position, seq + position, key) for position in range(count)])


def _copy_of(event: type[Event]) -> msgspec.json.Decoder[Any]:
    """Reads an event out of a call's JSON: each field that both have stays the JSON that it is.

    Nothing is looked into, so that bodies cost next to nothing, and a field of another type than its own,
    from a plugin perhaps, is passed on.
    """
    fields = [
        (field.name, msgspec.Raw, msgspec.Raw(_ENCODER.encode(_default(field))))
        for field in msgspec.structs.fields(event)
    ]
    return msgspec.json.Decoder(msgspec.defstruct(f"Stored{event.__name__}", fields))


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.default is msgspec.NODEFAULT else field.default


def _fill_proxy_log(event: Any, facts: _Facts, metadata: msgspec.Raw) -> None:
    event.metadata = metadata
    event.latency_ms = {
        "total": facts.total_ms,
        "upstream": facts.upstream_ms,
        "first_byte": facts.first_byte_ms,
        "plugins": facts.plugin_ms,
    }


def _fill_analytics(event: Any, facts: _Facts, _metadata: msgspec.Raw) -> None:
    if facts.answered_by:
        event.model_name = facts.answered_by


def _fill_budget_usage(event: Any, facts: _Facts, _metadata: msgspec.Raw) -> None:
    event.tokens_used = facts.total_tokens
    event.period_id, event.period_start, event.period_end = month_at(facts.started_us)


_FILLERS: Final = (_fill_proxy_log, _fill_analytics, _fill_budget_usage)
_ENCODER: Final = msgspec.json.Encoder()
_FACTS: Final = msgspec.json.Decoder(_Facts)
_COPIES: Final = tuple(_copy_of(event) for event in (ProxyLog, Analytics, BudgetUsage))
