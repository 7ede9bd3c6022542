"""Test a plugin without a gateway: make what its handlers get, run them, look at what came of it.

def test_the_team_is_named() -> None:
    request = make_request(json={"model": "gpt-4o"})
    run(RequestEnricher().handle_post_auth, make_context(app_id=7), request)
    assert request.headers["X-App-Id"] == "7"


def test_the_last_event_says_so() -> None:
    streamed = run(stream_through, Watermark(), [{"text": "hello"}, b"[DONE]"])
    assert streamed.events[-2:] == [b'{"text":"watermarked"}', b"[DONE]"]
"""

from weir_sdk.testing.fakes import FakeGateway, LogLine, RecordingLogger
from weir_sdk.testing.messages import (
    make_analytics,
    make_budget_usage,
    make_context,
    make_proxy_log,
    make_request,
    make_response,
    make_stream_complete,
)
from weir_sdk.testing.running import Streamed, run, stream_through

__all__ = [
    "FakeGateway",
    "LogLine",
    "RecordingLogger",
    "Streamed",
    "make_analytics",
    "make_budget_usage",
    "make_context",
    "make_proxy_log",
    "make_request",
    "make_response",
    "make_stream_complete",
    "run",
    "stream_through",
]
