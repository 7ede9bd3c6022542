"""W3C Trace Context."""

from __future__ import annotations

import pytest

from weir_proxy.trace import begin_span

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_callers_trace_is_continued_with_a_span_of_our_own() -> None:
    trace = begin_span(CALLER, "vendor=1")
    assert trace.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert trace.traceparent.startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert trace.traceparent.endswith("-01")
    assert "b7ad6b7169203331" not in trace.traceparent
    assert trace.tracestate == "vendor=1"


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "garbage",
        CALLER.replace("00-", "ff-", 1),
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        CALLER.upper(),
    ],
)
def test_without_a_valid_parent_a_new_trace_begins(traceparent: str | None) -> None:
    trace = begin_span(traceparent, "vendor=1")
    assert len(trace.trace_id) == 32
    assert trace.trace_id != "0af7651916cd43dd8448eb211c80319c"
    assert trace.tracestate is None
