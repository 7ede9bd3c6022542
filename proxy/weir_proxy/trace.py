"""W3C Trace Context: continue the caller's trace or begin one (https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import random
import re

import msgspec

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.ASCII)
_MAX_TRACESTATE = 512


class Trace(msgspec.Struct, frozen=True):
    """The gateway's own span within a trace."""

    trace_id: str
    traceparent: str
    tracestate: str | None


def begin_span(traceparent: str | None, tracestate: str | None) -> Trace:
    """Return a child of the caller's span, or a new sampled trace when there is none or it is not valid.

    Trace and span ids are unique, not secret.
    """
    drawn = random.randbytes(24).hex()  # noqa: S311 - unique is enough
    span_id = _valid(drawn[:16])
    if traceparent is not None:
        match = _TRACEPARENT.fullmatch(traceparent.strip())
        if match is not None and match[1] != "ff" and int(match[2], 16) and int(match[3], 16):
            kept = tracestate if tracestate is not None and len(tracestate) <= _MAX_TRACESTATE else None
            return Trace(match[2], f"00-{match[2]}-{span_id}-{match[4]}", kept)
    trace_id = _valid(drawn[16:])
    return Trace(trace_id, f"00-{trace_id}-{span_id}-01", None)


def _valid(drawn: str) -> str:
    """Zero is the one invalid value of either id."""
    return drawn if drawn.strip("0") else drawn[:-1] + "1"
