"""Edge payloads: what a plugin at the edge may send to control, and how one arrives there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from weir_sdk.checks import check_texts
from weir_sdk.errors import MetadataTooLarge, PayloadTooLarge, RubbishError, ServiceError

MAX_PAYLOAD_BYTES: Final = 1024 * 1024
MAX_METADATA_ENTRIES: Final = 50
MAX_KEY_BYTES: Final = 256
MAX_VALUE_BYTES: Final = 4096
MAX_CORRELATION_ID_BYTES: Final = 256


class EdgePayload(msgspec.Struct, kw_only=True, frozen=True):
    """A payload as ``accept_edge_payload`` gets it.

    Attributes:
        id: The payload's own; the same when it is delivered again, so remember it where twice would be wrong.
        payload: The bytes that were sent.
        edge_id: Which gateway sent it.
        edge_namespace: The namespace that gateway serves.
        plugin_id: Which plugin sent it.
        correlation_id: The sender's own.
        metadata: The sender's own.
        edge_timestamp: When it was sent, Unix seconds.
        received_timestamp: When control had it, Unix seconds.
    """

    id: str
    payload: bytes
    edge_id: str = ""
    edge_namespace: str = ""
    plugin_id: int = 0
    correlation_id: str = ""
    metadata: dict[str, str] = {}
    edge_timestamp: float = 0.0
    received_timestamp: float = 0.0

    def json(self) -> Any:
        """The payload as JSON.

        Raises:
            ValueError: It is none.
        """
        try:
            return msgspec.json.decode(self.payload)
        except msgspec.DecodeError as error:
            raise ValueError(f"payload {self.id} is not JSON: {error}") from error


class EdgePayloadResponse(msgspec.Struct, kw_only=True):
    """What a plugin made of a payload.

    Args:
        handled: False lets other studio plugins see it.
        error_message: With ``handled``, the payload is done with and the result says that it failed. Without,
            or when the handler raises, it is tried again.
        metadata: For the result, text to text.
    """

    handled: bool = True
    error_message: str = ""
    metadata: dict[str, str] = {}


PayloadAnswer: TypeAlias = "EdgePayloadResponse | bool | None"
"""None means handled, as True does."""


def payload_outcome(answered: object) -> EdgePayloadResponse:
    """What ``accept_edge_payload`` returned, checked.

    Raises:
        RubbishError: It is not what the handler may return.
    """
    if answered is None or isinstance(answered, bool):
        return EdgePayloadResponse(handled=answered is not False)
    if not isinstance(answered, EdgePayloadResponse):
        raise RubbishError(f"returned a {type(answered).__name__}; return an EdgePayloadResponse or a bool")
    check_texts(answered.metadata, "metadata")
    if not isinstance(answered.handled, bool) or not isinstance(answered.error_message, str):
        raise RubbishError("returned an EdgePayloadResponse whose fields are not of their types")
    return answered


def check_payload(payload: bytes, correlation_id: str, metadata: Mapping[str, str]) -> None:
    """Hold a payload to the limits.

    Raises:
        PayloadTooLarge: The payload is.
        MetadataTooLarge: Too many entries, or a key, a value or the correlation id is too long.
        ServiceError: Something is not of its type.
    """
    if not isinstance(payload, bytes | bytearray | memoryview):
        raise ServiceError(f"a payload is bytes, not {type(payload).__name__}; see send_to_control_json")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(
            f"the payload has {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} can be sent"
        )
    if _size(correlation_id, "correlation_id") > MAX_CORRELATION_ID_BYTES:
        raise MetadataTooLarge(f"correlation_id is longer than {MAX_CORRELATION_ID_BYTES} bytes")
    if len(metadata) > MAX_METADATA_ENTRIES:
        raise MetadataTooLarge(f"metadata has {len(metadata)} entries; at most {MAX_METADATA_ENTRIES} can be")
    for key, value in metadata.items():
        if _size(key, "a key of metadata") > MAX_KEY_BYTES:
            raise MetadataTooLarge(f"a key of metadata is longer than {MAX_KEY_BYTES} bytes: {key[:40]!r}...")
        if _size(value, f"metadata[{key!r}]") > MAX_VALUE_BYTES:
            raise MetadataTooLarge(f"metadata[{key!r}] is longer than {MAX_VALUE_BYTES} bytes")


def payload_json(value: Any) -> bytes:
    """A value as the payload of ``send_to_control_json``.

    Raises:
        ServiceError: JSON cannot say it.
    """
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ServiceError(f"the payload cannot be written as JSON: {error}") from error


def _size(text: str, what: str) -> int:
    try:
        return len(text.encode())
    except AttributeError:
        raise ServiceError(f"{what} is text, not {type(text).__name__}") from None
    except UnicodeEncodeError:
        raise ServiceError(f"{what} is not UTF-8") from None
