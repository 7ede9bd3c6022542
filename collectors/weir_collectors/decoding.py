"""From a log record to an event: what the worker must know of it, and nothing that a collector reads."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from weir_collectors.errors import UnreadableEventError
from weir_core.clock import parse_rfc3339
from weir_streams.log import LogRecord

# The bounds are those of the database's columns: a row that was decoded here can always be written.
_Id = Annotated[str, msgspec.Meta(pattern=r"\A[\x21-\x7e]{1,128}\Z")]
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Status = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Attempt(msgspec.Struct, frozen=True, gc=False):
    status: _Status | None = None


class _Facets(msgspec.Struct, frozen=True, gc=False):
    """The fields that a record is found by. All others are skipped, so that a newer event can be read."""

    event_id: _Id
    request_id: _Id
    timestamp: str
    edge_namespace: str = ""
    app_id: _Number | None = None
    llm_id: _Number | None = None
    user_id: str | None = None
    model_name: str | None = None
    response_code: _Status | None = None
    attempts: tuple[_Attempt, ...] = ()


_DECODER: Final = msgspec.json.Decoder(_Facets)


class ReadEvent(msgspec.Struct, frozen=True, gc=False):
    """One event as it goes through a deciding group.

    ``status`` is the event's response code, or else what the last upstream attempt answered.
    ``value`` is the JSON text exactly as it was logged.
    """

    record: LogRecord
    event_id: str
    request_id: str
    timestamp_us: int
    edge_namespace: str
    app_id: int | None
    llm_id: int | None
    user_id: str | None
    model: str | None
    status: int | None
    value: str


def read_event(record: LogRecord) -> ReadEvent:
    """Read one record.

    Raises:
        UnreadableEventError: The value is not JSON, or not an event that the database could keep.
    """
    try:
        value = record.value.decode()
        facets = _DECODER.decode(value)
        timestamp_us = parse_rfc3339(facets.timestamp)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        where = f"{record.partition.topic}/{record.partition.name} at offset {record.offset}"
        raise UnreadableEventError(f"the record in {where} is not an event: {error}") from error
    status = facets.response_code
    if status is None and facets.attempts:
        status = facets.attempts[-1].status
    return ReadEvent(
        record=record,
        event_id=facets.event_id,
        request_id=facets.request_id,
        timestamp_us=timestamp_us,
        edge_namespace=facets.edge_namespace,
        app_id=facets.app_id,
        llm_id=facets.llm_id,
        user_id=_without_nul(facets.user_id),
        model=_without_nul(facets.model_name),
        status=status,
        value=value,
    )


def _without_nul(text: str | None) -> str | None:
    # Postgres cannot keep a NUL in text; inside ``value`` it stands escaped.
    return text and text.replace("\x00", "\ufffd")
