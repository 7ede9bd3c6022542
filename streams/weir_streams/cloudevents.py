"""CloudEvents 1.0 in Kafka's binary mode: the value is the event's JSON, its context stands in headers.

Source: CloudEvents Kafka Protocol Binding 1.0.2, section 3.2, and the Distributed Tracing extension.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

import msgspec

from weir_streams.events import (
    ANALYTICS_TOPIC,
    BUDGET_USAGE_TOPIC,
    DEAD_LETTER_TOPIC,
    PROXY_LOG_TOPIC,
    EncodedEvent,
)
from weir_streams.payloads import EDGE_PAYLOAD_RESULT_TOPIC, EDGE_PAYLOAD_TOPIC

TYPE_OF_TOPIC: Final = {
    PROXY_LOG_TOPIC: "weir.proxy_log.v1",
    ANALYTICS_TOPIC: "weir.analytics.v1",
    BUDGET_USAGE_TOPIC: "weir.budget_usage.v1",
    EDGE_PAYLOAD_TOPIC: "weir.edge_payload.v1",
    EDGE_PAYLOAD_RESULT_TOPIC: "weir.edge_payload_result.v1",
    DEAD_LETTER_TOPIC: "weir.dead_letter.v1",
}
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}", re.ASCII)


class _Context(msgspec.Struct):
    event_id: str
    spool_id: str
    timestamp: str
    request_id: str = ""
    plugin_id: int | None = None
    edge_id: str = ""
    trace_id: str | None = None
    notice_id: str = ""


_DECODER = msgspec.json.Decoder(_Context)


def kafka_headers(event: EncodedEvent) -> list[tuple[str, bytes]]:
    """The headers of one event, in the order of ``schemas/kafka_headers.v1.json``.

    ``traceparent`` is there when the request had a valid trace id; its parent id is the end of the event's
    id, since the span that wrote the event is none that a tracer knows.

    Raises:
        msgspec.DecodeError: The value is not one of our events.
    """
    context = _DECODER.decode(event.value)
    headers = {
        "ce_specversion": "1.0",
        "ce_id": context.notice_id or context.event_id,
        "ce_type": TYPE_OF_TOPIC[event.topic],
        "ce_source": _source(context),
        "ce_subject": context.request_id or f"plugins/{context.plugin_id}",
        "ce_time": context.timestamp,
        "content-type": "application/json",
    }
    if context.trace_id is not None and _TRACE_ID.fullmatch(context.trace_id):
        headers["traceparent"] = f"00-{context.trace_id}-{context.event_id.replace('-', '')[-16:]}-01"
    return [(name, value.encode()) for name, value in headers.items()]


def _source(context: _Context) -> str:
    if context.edge_id:
        return f"/weir/edges/{quote(context.edge_id, safe='')}"
    return f"/weir/spools/{context.spool_id}"
