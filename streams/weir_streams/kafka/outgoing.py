"""What the relay sends for each event of the spool, and what it makes of one that Kafka refuses."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from weir_core.clock import Clock, rfc3339
from weir_core.ids import new_id
from weir_streams.cloudevents import kafka_headers
from weir_streams.errors import RecordRefusedError, TimestampRefusedError
from weir_streams.events import PROXY_LOG_TOPIC, EncodedEvent, ProxyLog, encode
from weir_streams.families import without_body
from weir_streams.kafka.publisher import Batch, Outgoing
from weir_streams.kafka.stamps import Stamp, Stamps
from weir_streams.log import LogRecord, Partition
from weir_streams.payloads import (
    EDGE_PAYLOAD_RESULT_TOPIC,
    EDGE_PAYLOAD_TOPIC,
    EdgePayloadResult,
    decode_payload,
    encode_result,
)

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
    """Turns records into what goes to Kafka, in the fullest form that was not refused yet.

    Args:
        clock: For timestamps.
        ids: Makes the ids of results.
    """

    def __init__(self, clock: Clock, ids: Callable[[], str] = new_id) -> None:
        self._clock = clock
        self._ids = ids
        self._forms: dict[tuple[Partition, int], tuple[Form, str]] = {}
        self._stamps = Stamps(clock)
        self._aside: set[tuple[Partition, int]] = set()

    def prepare(self, records: Iterable[LogRecord]) -> tuple[list[Outgoing], list[Unsendable]]:
        """What to send, in order, and what to set aside instead."""
        outgoing: list[Outgoing] = []
        unsendable: list[Unsendable] = []
        stamp = self._stamps.current()
        for record in records:
            form, reason = self._forms.get((record.partition, record.offset), (Form.WHOLE, ""))
            if form is Form.NONE:
                unsendable.append(Unsendable(record, reason))
                continue
            try:
                outgoing.append(self._outgoing(record, form, stamp))
            except (msgspec.DecodeError, ValueError) as error:
                unsendable.append(Unsendable(record, f"it is no event: {error}"))
        return outgoing, unsendable

    def not_aside(self, unsendable: Iterable[Unsendable]) -> list[Unsendable]:
        """Those that were not set aside before: what is read again for another one's refusal was."""
        return [one for one in unsendable if _place(one.record) not in self._aside]

    def set_aside(self, unsendable: Iterable[Unsendable]) -> None:
        """Take note of what is kept elsewhere now."""
        self._aside.update(_place(one.record) for one in unsendable)

    def results(self, unsendable: Iterable[Unsendable]) -> list[Outgoing]:
        """What to send to those who wait to hear of a payload that control will not get."""
        return [
            result
            for one in unsendable
            if one.record.partition.topic == EDGE_PAYLOAD_TOPIC
            and (result := self._result(one)) is not None
            and (result.source, result.seq) not in self._forms
        ]

    def refused(self, batch: Batch, error: RecordRefusedError) -> None:
        """Take note that a batch was refused.

        For its time, everything goes with another next; for anything else its records go alone, and a single
        one smaller.
        """
        if isinstance(error, TimestampRefusedError) and self._stamps.refused(batch.records[0].stamp):
            return
        for record in batch.records:
            place = record.source, record.seq
            form = self._forms.get(place, (Form.WHOLE, ""))[0]
            if form is Form.ALONE and record.source.topic != PROXY_LOG_TOPIC:
                form = Form.WITHOUT_BODIES
            self._forms[place] = Form(form + 1), str(error)

    def forget(self, ends: dict[Partition, int]) -> None:
        """Take note of what is delivered or set aside: everything below these numbers."""
        for place in [place for place in self._forms if place[1] < ends.get(place[0], 0)]:
            del self._forms[place]
        self._aside = {place for place in self._aside if place[1] >= ends.get(place[0], 0)}

    def _result(self, unsendable: Unsendable) -> Outgoing | None:
        record = unsendable.record
        try:
            payload = decode_payload(record.value)
        except msgspec.DecodeError:
            return None
        result = EdgePayloadResult.of(
            payload,
            event_id=self._ids(),
            timestamp=rfc3339(self._clock.wall_us()),
            success=False,
            handled=False,
            tries=0,
            error=f"not sent: {unsendable.reason}",
            dead_letter=True,
        )
        # A spool numbers all its events in one row, so no other stands at this place.
        place = Partition(EDGE_PAYLOAD_RESULT_TOPIC, record.partition.name)
        encoded = LogRecord(place, record.offset, record.key, encode_result(result).value)
        return self._outgoing(encoded, Form.ALONE, self._stamps.current())

    def _outgoing(self, record: LogRecord, form: Form, stamp: Stamp) -> Outgoing:
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
            timestamp_ms=self._stamps.milliseconds(stamp, headers),
            alone=form is not Form.WHOLE,
            stamp=stamp,
        )


def _place(record: LogRecord) -> tuple[Partition, int]:
    return record.partition, record.offset
