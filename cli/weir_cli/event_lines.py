"""An event on one line of a terminal, and which ones somebody wants to see."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from weir_streams.log import LogRecord


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    """What a line shows of the three kinds; what a kind does not carry stays None."""

    timestamp: str = ""
    request_id: str = ""
    app_id: int | None = None
    llm_id: int | None = None
    model_name: str | None = None
    outcome: str | None = None
    response_code: int | None = None
    method: str | None = None
    path: str | None = None
    prompt_tokens: int | None = None
    response_tokens: int | None = None
    cost: str | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events to show; None does not restrict."""

    app_id: int | None = None
    llm_id: int | None = None
    outcome: str | None = None

    def lets(self, event: _Event | None) -> bool:
        """Whether the event is wanted; what is no event is, unless something is asked for."""
        if event is None:
            return self == EventFilter()
        return (
            self.app_id in (None, event.app_id)
            and self.llm_id in (None, event.llm_id)
            and self.outcome in (None, event.outcome)
        )


def shown(record: LogRecord) -> _Event | None:
    """What a line shows of a record; None when it is no event."""
    try:
        return msgspec.json.decode(record.value, type=_Event)
    except msgspec.MsgspecError:
        return None


def readable(record: LogRecord, event: _Event | None) -> str:
    """One line: when, what kind, whose request, and how it went."""
    kind = record.partition.topic.removeprefix("weir.").removesuffix(".v1")
    if event is None:
        return f"{kind:12} not an event: {record.partition.name} offset {record.offset}"
    parts = [
        event.timestamp,
        f"{kind:12}",
        event.request_id,
        _named("app", event.app_id),
        _named("llm", event.llm_id),
        event.model_name,
        event.outcome,
        _text(event.response_code),
        event.method and f"{event.method} {event.path}",
        _tokens(event),
        event.cost and f"{event.cost} {event.currency or ''}".rstrip(),
    ]
    # A model's name is the caller's own words, which must not steer the terminal.
    line = " ".join(part for part in parts if part)
    return "".join(character if character.isprintable() else "�" for character in line)


def _named(name: str, value: int | None) -> str:
    return "" if value is None else f"{name}={value}"


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def _tokens(event: _Event) -> str:
    if event.prompt_tokens is None and event.response_tokens is None:
        return ""
    return f"{event.prompt_tokens or 0}+{event.response_tokens or 0} tokens"
