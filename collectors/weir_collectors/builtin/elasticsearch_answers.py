"""What Elasticsearch's answers say about events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from elasticsearch import ApiError, TransportError

from weir_collectors.builtin.errors import (
    RequestRefusedError,
    RequestTooLargeError,
    SinkError,
    SinkUnreachableError,
)
from weir_collectors.builtin.retry_after import retry_after_s
from weir_collectors.builtin.sink import Outcome, Refusal

_CONFLICT: Final = 409


class _Cause(msgspec.Struct):
    type: str = ""
    reason: str | None = None
    caused_by: _Cause | None = None

    def __str__(self) -> str:
        parts = (self.type, self.reason, self.caused_by and self.caused_by.reason)
        return ": ".join(part for part in parts if part)


class _Result(msgspec.Struct):
    status: int
    error: _Cause | None = None


class _Item(msgspec.Struct):
    create: _Result


class _Answer(msgspec.Struct):
    items: list[_Item]


def bulk_outcomes(body: Any, count: int) -> Sequence[Outcome]:
    """What became of each of ``count`` documents that a bulk request was to create.

    Raises:
        SinkUnreachableError: The answer does not say; something else than Elasticsearch may have given it.
    """
    try:
        items = msgspec.convert(body, _Answer).items
    except msgspec.ValidationError as error:
        raise SinkUnreachableError(f"what answered is no answer to a bulk request: {error}") from error
    if len(items) != count:
        raise SinkUnreachableError(f"Elasticsearch answered for {len(items)} documents of {count}")
    return [_outcome(item.create) for item in items]


def translated(error: ApiError | TransportError, *, of_documents: bool) -> SinkError:
    """What an error of the client says about a request; only one of documents can be at fault itself."""
    what = "documents" if of_documents else "index templates"
    message = f"Elasticsearch did not take the {what}: {_text(error)}"
    if not isinstance(error, ApiError):
        return SinkUnreachableError(message)
    if of_documents and error.meta.status == 413:
        return RequestTooLargeError(message)
    if of_documents and error.meta.status == 400:
        return RequestRefusedError(message)
    return SinkUnreachableError(message, retry_after_s=retry_after_s(error.meta.headers.get("retry-after")))


def refuses_us(error: ApiError | TransportError) -> bool:
    """Whether it is an answer that stays the same until somebody changes something."""
    return (
        isinstance(error, ApiError) and 400 <= error.meta.status < 500 and error.meta.status not in (408, 429)
    )


def _text(error: ApiError | TransportError) -> str:
    """The error with its reason, which the client leaves out of some: "TLS error" is all that those say."""
    return str(error) if error.message in str(error) else f"{error}: {error.message}"


def _outcome(result: _Result) -> Outcome:
    status = result.status
    # An id that is there already is this event's, from a try whose answer was lost.
    if status < 300 or status == _CONFLICT:
        return None
    reason = f"Elasticsearch refused the document with {status}: {result.error or 'no reason given'}"
    return Refusal(reason, retryable=status == 429 or status >= 500)
