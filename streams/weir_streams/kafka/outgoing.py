"""What the relay sends for each event of the spool, and what it makes of one that Kafka refuses."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from weir_core.clock import parse_rfc3339
from weir_streams.cloudevents import kafka_headers
from weir_streams.events import PROXY_LOG_TOPIC, EncodedEvent, ProxyLog, encode
from weir_streams.families import without_body
from weir_streams.kafka.publisher import Batch, Outgoing
from weir_streams.log import LogRecord, Partition

_TIME_HEADER: Final = "ce_time"
_PROXY_LOG: Final = msgspec.json.Decoder(ProxyLog)


class Form(enum.IntEnum):
    """How far a record had to be changed; each refusal leads to the next."""

    WHOLE = 0
    ALONE = 1
    WITHOUT_BODIES = 2
    NONE = 3


class Unsendable(NamedTuple):
    """A record that Kafka will never take in any form, and why."""

    record: LogRecord
    reason: str


class Dispatch:
    """Turns records into what goes to Kafka, in the fullest form that was not refused yet."""

    def __init__(self) -> None:
        self._forms: dict[tuple[Partition, int], tuple[Form, str]] = {}
        self._times = _Times()

    def prepare(self, records: Iterable[LogRecord]) -> tuple[list[Outgoing], list[Unsendable]]:
        """What to send, in order, and what to set aside instead."""
        outgoing: list[Outgoing] = []
        unsendable: list[Unsendable] = []
        for record in records:
            form, reason = self._forms.get((record.partition, record.offset), (Form.WHOLE, ""))
            if form is Form.NONE:
                unsendable.append(Unsendable(record, reason))
                continue
            try:
                outgoing.append(self._outgoing(record, form))
            except (msgspec.DecodeError, ValueError) as error:
                unsendable.append(Unsendable(record, f"it is no event: {error}"))
        return outgoing, unsendable

    def refused(self, batch: Batch, reason: str) -> None:
        """Take note that a batch was refused: its records go alone next, a single one goes smaller."""
        for record in batch.records:
            place = record.source, record.seq
            form = self._forms.get(place, (Form.WHOLE, ""))[0]
            if form is Form.ALONE and record.source.topic != PROXY_LOG_TOPIC:
                form = Form.WITHOUT_BODIES
            self._forms[place] = Form(form + 1), reason

    def forget(self, ends: dict[Partition, int]) -> None:
        """Take note of what is delivered or set aside: everything below these numbers."""
        for place in [place for place in self._forms if place[1] < ends.get(place[0], 0)]:
            del self._forms[place]

    def _outgoing(self, record: LogRecord, form: Form) -> Outgoing:
        value = record.value
        if form is Form.WITHOUT_BODIES:
            value = encode(without_body(_PROXY_LOG.decode(value))).value
        headers = kafka_headers(EncodedEvent(record.partition.topic, record.key, value))
        return Outgoing(
            source=record.partition,
            seq=record.offset,
            key=record.key,
            value=value,
            headers=headers,
            timestamp_ms=self._times.milliseconds(headers),
            alone=form is not Form.WHOLE,
        )


class _Times:
    """The events' own times, so that retention and replay by time go by when something happened.

    The events of one request have the same one and stand side by side.
    """

    def __init__(self) -> None:
        self._last = b""
        self._last_ms = 0

    def milliseconds(self, headers: Sequence[tuple[str, bytes]]) -> int:
        text = next(value for name, value in headers if name == _TIME_HEADER)
        if text != self._last:
            self._last_ms = parse_rfc3339(text.decode()) // 1000
            self._last = text
        return self._last_ms
