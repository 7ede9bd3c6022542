"""What plugins at the edge send to control, and the answer to each; docs/edge-payloads.md has the rules.

Field names are promises, as in ``weir_streams.events``; times are RFC 3339 in UTC with microseconds.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, Literal, Self

import msgspec

from weir_streams.errors import PayloadRefusedError
from weir_streams.events import DEAD_LETTER_TOPIC, EVENT_TOPICS, EncodedEvent

EDGE_PAYLOAD_TOPIC: Final = "weir.edge-payload.v1"
EDGE_PAYLOAD_RESULT_TOPIC: Final = "weir.edge-payload-result.v1"

SPOOLED_TOPICS: Final = (*EVENT_TOPICS, EDGE_PAYLOAD_TOPIC, EDGE_PAYLOAD_RESULT_TOPIC, DEAD_LETTER_TOPIC)
"""Every topic that spools hold, and relays carry."""

PAYLOAD_GROUP: Final = "weir.edge-payloads"
"""The consumer group that delivers; no spool segment goes before it has passed it."""

RESULT_GROUPS: Final = "weir.edge-results."
"""How the names of the groups begin that count results at the edges; the worker's name follows."""

MAX_MESSAGE_BYTES: Final = 2 * 1024 * 1024
"""Of an encoded payload, metadata and all."""

_MAX_ERROR: Final = 4096


class EdgePayload(msgspec.Struct, kw_only=True):
    """A payload on its way. ``payload`` is text; where the bytes are no UTF-8, their base64."""

    event_id: str
    spool_id: str = ""
    spool_seq: int = 0
    timestamp: str
    edge_id: str
    edge_namespace: str
    plugin_id: int
    plugin_slug: str = ""
    correlation_id: str = ""
    metadata: dict[str, str] = {}
    payload: str
    payload_encoding: Literal["base64"] | None = None

    def content(self) -> bytes:
        """The payload's bytes.

        Raises:
            ValueError: They are not the base64 they should be.
        """
        if self.payload_encoding is None:
            return self.payload.encode()
        try:
            return base64.b64decode(self.payload, validate=True)
        except binascii.Error as error:
            raise ValueError(f"the payload is not base64: {error}") from error


class EdgePayloadResult(msgspec.Struct, kw_only=True):
    """What became of one payload; ``event_id`` is the result's own.

    ``success`` is whether a plugin took it without an error; ``dead_letter`` whether it was given up and is
    kept: in control's database, or beside the relay that could not send it.
    """

    event_id: str
    spool_id: str = ""
    spool_seq: int = 0
    timestamp: str
    payload_id: str
    edge_id: str
    edge_namespace: str
    plugin_id: int
    correlation_id: str = ""
    success: bool
    handled: bool
    handled_by: int | None = None
    tries: int = 1
    error: str = ""
    dead_letter: bool = False
    metadata: dict[str, str] = {}

    @classmethod
    def of(
        cls,
        payload: EdgePayload,
        *,
        event_id: str,
        timestamp: str,
        success: bool,
        handled: bool,
        tries: int,
        error: str,
        dead_letter: bool,
    ) -> Self:
        """What became of ``payload``, addressed to whoever sent it."""
        return cls(
            event_id=event_id,
            timestamp=timestamp,
            payload_id=payload.event_id,
            edge_id=payload.edge_id,
            edge_namespace=payload.edge_namespace,
            plugin_id=payload.plugin_id,
            correlation_id=payload.correlation_id,
            success=success,
            handled=handled,
            tries=tries,
            error=error,
            dead_letter=dead_letter,
        )


_ENCODER: Final = msgspec.json.Encoder()
_PAYLOAD: Final = msgspec.json.Decoder(EdgePayload)
_RESULT: Final = msgspec.json.Decoder(EdgePayloadResult)


def as_text(content: bytes) -> tuple[str, Literal["base64"] | None]:
    """The payload's bytes as the event carries them, and the encoding where it is not plain text."""
    try:
        return content.decode(), None
    except UnicodeDecodeError:
        return base64.b64encode(content).decode(), "base64"


def encode_payload(payload: EdgePayload) -> EncodedEvent:
    """Encode with the key that keeps a plugin's payloads from one edge in one partition.

    Raises:
        PayloadRefusedError: It is larger than ``MAX_MESSAGE_BYTES`` in every form.
    """
    value = _ENCODER.encode(payload)
    if len(value) > MAX_MESSAGE_BYTES and payload.payload_encoding is None:
        # Text that is all control characters takes six bytes for each of them.
        shorter = base64.b64encode(payload.payload.encode()).decode()
        value = _ENCODER.encode(msgspec.structs.replace(payload, payload=shorter, payload_encoding="base64"))
    if len(value) > MAX_MESSAGE_BYTES:
        raise PayloadRefusedError(
            f"payload and metadata take {len(value)} bytes when encoded, more than {MAX_MESSAGE_BYTES}; "
            "send less, or fewer control characters"
        )
    return EncodedEvent(EDGE_PAYLOAD_TOPIC, _key(payload), value)


def encode_result(result: EdgePayloadResult) -> EncodedEvent:
    """Encode with the payload's own key; a long error is cut."""
    if len(result.error) > _MAX_ERROR:
        result = msgspec.structs.replace(result, error=result.error[:_MAX_ERROR] + " ...")
    return EncodedEvent(EDGE_PAYLOAD_RESULT_TOPIC, _key(result), _ENCODER.encode(result))


def decode_payload(value: bytes) -> EdgePayload:
    """Read a payload; fields of later releases are passed over.

    Raises:
        msgspec.DecodeError: It is none.
    """
    return _PAYLOAD.decode(value)


def decode_result(value: bytes) -> EdgePayloadResult:
    """Read a result; fields of later releases are passed over.

    Raises:
        msgspec.DecodeError: It is none.
    """
    return _RESULT.decode(value)


def _key(event: EdgePayload | EdgePayloadResult) -> bytes:
    return f"{event.edge_namespace}/{event.edge_id}/{event.plugin_id}".encode()
