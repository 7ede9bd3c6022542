"""How the mock upstream is to behave, and the places a test or a user may say so."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl

import msgspec

from weir_cli.mock_upstream.errors import BehaviourError

Shape = Literal[
    "invalid_json",
    "usage_with_choices",
    "cumulative_usage",
    "no_terminal",
    "error_event",
    "gzip",
    "crlf",
    "chunked",
    "no_answer",
]

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Positive = Annotated[int, msgspec.Meta(ge=1)]

HEADER_PREFIX: Final = "x-mock-"
_INLINE_PREFIX: Final = "mock:"


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything settable. The defaults are a prompt, well-formed answer.

    Token counts are in Weir's terms (``weir_core.usage``): the prompt includes cache reads and writes, the
    response includes reasoning. None derives them: the prompt from the body's length, the response from the
    number of chunks. ``chunks`` counts pieces of text, ``truncate_after_chunks`` counts server-sent events.

    Attributes:
        first_byte_ms: Milliseconds from the ledger line to the first byte of the answer.
        chunk_ms: Milliseconds between two server-sent events.
        chunks: Pieces of text in the answer, streamed or not.
        chunk_text: What each piece says; None is a stock sentence, word by word.
        chunk_bytes: Pad each piece to this many bytes; ``chunks=1`` with a large value is a huge answer.
        split_bytes: Cut the stream into pieces of this size, whatever the events' boundaries.
        tool_calls: Number of tool calls; None calls one when the request offers tools and has no result yet.
        report_usage: Whether the answer carries usage at all.
        status: Answer this error, 400 to 599, in the vendor's shape, streams included.
        error_type: The vendor's error type; None is what that vendor says for the status.
        error_code: OpenAI's error code; None is what OpenAI says for the status.
        error_message: The error's text.
        error_body: The whole error body as it stands, JSON or not.
        retry_after: The Retry-After header of an error.
        truncate_after_bytes: Close the connection after this many bytes of body.
        truncate_after_chunks: Close the connection after this many events, without the terminal one.
        shape: Oddities of form. ``invalid_json`` breaks the body or one event; ``usage_with_choices`` puts
            the usage into a chunk that has choices; ``cumulative_usage`` reports growing counters more than
            once; ``no_terminal`` ends well but without the vendor's last event; ``error_event`` breaks a
            stream off with the vendor's error event; ``gzip`` compresses unasked; ``crlf`` ends lines with
            CR LF; ``chunked`` sends a body without Content-Length; ``no_answer`` closes before the first
            byte.
    """

    first_byte_ms: _Count = 0
    chunk_ms: _Count = 0
    chunks: _Count = 12
    chunk_text: str | None = None
    chunk_bytes: _Positive | None = None
    split_bytes: _Positive | None = None
    tool_calls: _Count | None = None
    report_usage: bool = True
    prompt_tokens: _Count | None = None
    response_tokens: _Count | None = None
    cache_read_tokens: _Count = 0
    cache_write_tokens: _Count = 0
    reasoning_tokens: _Count = 0
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] | None = None
    error_type: str | None = None
    error_code: str | None = None
    error_message: str = "The mock upstream was told to fail."
    error_body: str | None = None
    retry_after: str | None = None
    truncate_after_bytes: _Count | None = None
    truncate_after_chunks: _Count | None = None
    shape: tuple[Shape, ...] = ()


PRESETS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "mock-slow": {"first_byte_ms": 2000, "chunk_ms": 100},
        "mock-error": {"status": 500},
        "mock-overloaded": {"status": 503, "retry_after": "1"},
        "mock-rate-limited": {"status": 429, "retry_after": "1"},
        "mock-truncated": {"truncate_after_bytes": 80},
        "mock-no-usage": {"report_usage": False},
        "mock-cached": {"prompt_tokens": 2000, "cache_read_tokens": 1024, "reasoning_tokens": 6},
        "mock-invalid-json": {"shape": ["invalid_json"]},
    }
)


def adjusted(base: Behaviour, settings: Mapping[str, Any]) -> Behaviour:
    """Return ``base`` with these fields replaced; texts are read as the field's type.

    Raises:
        BehaviourError: An unknown field or a value out of range.
    """
    if not settings:
        return base
    fields = msgspec.structs.asdict(base) | {name: _plain(name, value) for name, value in settings.items()}
    try:
        return msgspec.convert(fields, Behaviour, strict=False)
    except msgspec.ValidationError as error:
        raise BehaviourError(f"A behaviour of the mock upstream is wrong: {error}.") from error


def of_call(base: Behaviour, headers: Mapping[str, str], document: Mapping[str, Any]) -> Behaviour:
    """The behaviour for one call: the process's, then the model's preset, then the body's, then the headers'.

    A gateway may drop headers it does not know, hence the other two: a model named in ``PRESETS``, and a text
    such as ``mock:chunks=3&status=429`` in ``user``, ``metadata.user_id`` or ``metadata.mock``.

    Raises:
        BehaviourError: An unknown field or a value out of range.
    """
    model = document.get("model")
    settings = dict(PRESETS.get(model, {})) if isinstance(model, str) else {}
    settings |= _inline(document)
    settings |= {
        name.removeprefix(HEADER_PREFIX).replace("-", "_"): value
        for name, value in headers.items()
        if name.startswith(HEADER_PREFIX)
    }
    return adjusted(base, settings)


def _inline(document: Mapping[str, Any]) -> dict[str, str]:
    metadata = document.get("metadata")
    texts = [document.get("user")]
    if isinstance(metadata, dict):
        texts += [metadata.get("user_id"), metadata.get("mock")]
    found: dict[str, str] = {}
    for text in texts:
        if isinstance(text, str) and text.startswith(_INLINE_PREFIX):
            found |= dict(parse_qsl(text.removeprefix(_INLINE_PREFIX), keep_blank_values=True))
    return found


def _plain(name: str, value: object) -> object:
    if name == "shape" and isinstance(value, str):
        return [part for part in value.split(",") if part]
    return value
