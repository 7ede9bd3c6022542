"""What a slot of the in-flight table says about a request, and how it is made to fit."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from weir_core.errors import InvalidInputError

ADMISSION_ROOM: Final = 640
IDENTITY_ROOM: Final = 152
SENDING_ROOM: Final = 96

_USER_ID_BYTES: Final = 128
_MODEL_BYTES: Final = 56

_encode = msgspec.msgpack.Encoder().encode


class EventIds(NamedTuple):
    """The ids of a request's events, made at admission so that recovery can never make a second family."""

    proxy_log: str
    analytics: str
    budget_usage: str


class Admission(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known when a request has been routed to an LLM. ``started_us`` is wall time since the epoch."""

    request_id: str
    started_us: int
    llm_id: int
    llm_slug: str
    vendor: str
    method: str
    path: str
    client_request_id: str | None = None
    trace_id: str | None = None
    stream: bool = False
    edge_id: str = ""
    edge_namespace: str = ""


class AdmittedSection(msgspec.Struct, frozen=True, array_like=True):
    """The slot's record of an admission; strings may be shortened to fit."""

    request_id: str
    event_ids: EventIds
    started_us: int
    first_seq: int
    llm_id: int
    llm_slug: str
    vendor: str
    method: str
    path: str
    client_request_id: str | None
    trace_id: str | None
    stream: bool
    edge_id: str
    edge_namespace: str


class IdentitySection(msgspec.Struct, frozen=True, array_like=True):
    """Who the caller turned out to be."""

    app_id: int | None
    user_id: str | None
    credential_id: int | None


class SendingSection(msgspec.Struct, frozen=True, array_like=True):
    """What the request may cost at worst, written before its first byte goes upstream."""

    model: str | None
    prompt_tokens: int
    response_tokens: int
    cost_nano: int | None
    metered: bool
    stream: bool | None


class Orphan(NamedTuple):
    """A slot that its process never freed."""

    slot: int
    admitted: AdmittedSection
    identity: IdentitySection | None
    sending: SendingSection | None


def encode_admission(admission: Admission, event_ids: EventIds, first_seq: int) -> bytes:
    """The slot's admission section; long strings are shortened until it fits.

    Raises:
        InvalidInputError: The request id is too long for a slot.
    """
    try:
        section = _admission_bytes(admission, event_ids, first_seq)
    except UnicodeEncodeError:
        section = b""
    if section and len(section) <= ADMISSION_ROOM:
        return section
    for most_bytes in (192, 96, 48, 32):
        shorter = msgspec.structs.replace(
            admission,
            llm_slug=cut(admission.llm_slug, most_bytes),
            vendor=cut(admission.vendor, most_bytes),
            method=cut(admission.method, 16),
            path=cut(admission.path, most_bytes),
            client_request_id=_cut_optional(admission.client_request_id, most_bytes),
            trace_id=_cut_optional(admission.trace_id, most_bytes),
            edge_id=cut(admission.edge_id, most_bytes),
            edge_namespace=cut(admission.edge_namespace, most_bytes),
        )
        section = _admission_bytes(shorter, event_ids, first_seq)
        if len(section) <= ADMISSION_ROOM:
            return section
    raise InvalidInputError("the request id is too long for an in-flight slot", field="request_id")


def encode_identity(app_id: int | None, user_id: str | None, credential_id: int | None) -> bytes:
    """The slot's identity section; a long user id is shortened."""
    return _encode((app_id, _cut_optional(user_id, _USER_ID_BYTES), credential_id))


def encode_sending(
    model: str | None,
    prompt_tokens: int,
    response_tokens: int,
    cost_nano: int | None,
    metered: bool,
    stream: bool | None,
) -> bytes:
    """The slot's sending section; a long model name is shortened."""
    model = _cut_optional(model, _MODEL_BYTES)
    return _encode((model, prompt_tokens, response_tokens, cost_nano, metered, stream))


def cut(text: str, most_bytes: int) -> str:
    """The longest start of ``text`` that takes at most ``most_bytes`` in UTF-8; mends lone surrogates."""
    if len(text) <= most_bytes and text.isascii():
        return text
    return text.encode("utf-8", "replace")[:most_bytes].decode("utf-8", "ignore")


def _admission_bytes(admission: Admission, event_ids: EventIds, first_seq: int) -> bytes:
    return _encode(
        (
            admission.request_id,
            event_ids,
            admission.started_us,
            first_seq,
            admission.llm_id,
            admission.llm_slug,
            admission.vendor,
            admission.method,
            admission.path,
            admission.client_request_id,
            admission.trace_id,
            admission.stream,
            admission.edge_id,
            admission.edge_namespace,
        )
    )


def _cut_optional(text: str | None, most_bytes: int) -> str | None:
    return None if text is None else cut(text, most_bytes)
