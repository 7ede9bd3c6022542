"""A handler that failed, as a gRPC error: who reads it can raise what the gateway's own process would.

| the handler      | status code | trailing metadata                                         | details      |
|------------------|-------------|-----------------------------------------------------------|--------------|
| raised           | UNKNOWN     | `weir-failure: raised`, `weir-retryable: true` or `false` | the error    |
| answered rubbish | INTERNAL    | `weir-failure: rubbish`                                   | what it said |

A Go plugin whose handler fails answers UNKNOWN without such metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from weir_sdk.errors import RubbishError

RETRYABLE: Final = "weir-retryable"
FAILURE: Final = "weir-failure"

# gRPC sends the text as a header, percent-encoded, and peers refuse more than 8 KiB of headers.
_MOST_BYTES: Final = 2000
_TYPE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(?=: |\Z)")

Kind = Literal["raised", "rubbish"]


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong in a handler.

    Attributes:
        kind: Whether the handler raised, or answered what cannot be used.
        message: ``raised``: the exception in one line. ``rubbish``: what it did; follows the handler's name.
        retryable: Whether the same call may succeed later.
    """

    kind: Kind
    message: str
    retryable: bool

    @property
    def code(self) -> str:
        """The name of the gRPC status code."""
        return "INTERNAL" if self.kind == "rubbish" else "UNKNOWN"

    @property
    def trailers(self) -> tuple[tuple[str, str], ...]:
        """The trailing metadata."""
        return (FAILURE, self.kind), (RETRYABLE, "true" if self.retryable else "false")


def failure_of(error: BaseException) -> Failure:
    """An exception that left a handler, or the judgement of what it returned."""
    if isinstance(error, RubbishError):
        return Failure("rubbish", _cut(str(error)), False)
    return Failure("raised", _cut(described(error)), bool(getattr(error, "retryable", True)))


def failure_from_wire(details: str, trailers: Iterable[tuple[str, str | bytes]]) -> Failure | None:
    """What a failed call tells of its handler; None when it does not come from one of our plugins.

    Args:
        details: The call's status details.
        trailers: Its trailing metadata.
    """
    told = dict(trailers)
    kind = told.get(FAILURE)
    if kind == "rubbish":
        return Failure("rubbish", details, False)
    if kind == "raised":
        return Failure("raised", details, told.get(RETRYABLE) != "false")
    return None


def described(error: BaseException) -> str:
    """An exception in one line."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def type_described(description: str) -> str:
    """The name of the exception that was ``described``, and nothing of what it says."""
    name = _TYPE.match(description)
    return "an exception" if name is None else name[0]


def _cut(text: str) -> str:
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) > _MOST_BYTES:
        return encoded[:_MOST_BYTES].decode("utf-8", "ignore") + " ..."
    return encoded.decode("utf-8")
