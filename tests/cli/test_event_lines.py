"""Events on a terminal: what a line shows, and which lines."""

from __future__ import annotations

import msgspec
import pytest

from weir_cli.event_lines import EventFilter, readable, shown
from weir_streams.log import LogRecord, Partition


def logged(topic: str = "weir.analytics.v1", **fields: object) -> LogRecord:
    return LogRecord(Partition(topic, "spool"), 7, b"1", msgspec.json.encode(fields))


def test_a_line_says_when_what_whose_and_how_it_went() -> None:
    record = logged(
        timestamp="2026-01-31T12:00:00.000000Z",
        request_id="r-1",
        app_id=1,
        llm_id=2,
        model_name="gpt-4o",
        outcome="served",
        prompt_tokens=3,
        response_tokens=4,
        cost="0.001",
        currency="USD",
    )
    assert readable(record, shown(record)) == (
        "2026-01-31T12:00:00.000000Z analytics    r-1 app=1 llm=2 gpt-4o served 3+4 tokens 0.001 USD"
    )


def test_what_a_caller_named_cannot_steer_the_terminal() -> None:
    record = logged(model_name="\x1b[2Jgpt\n")
    assert "\x1b" not in readable(record, shown(record))
    assert "\n" not in readable(record, shown(record))


def test_what_is_no_event_is_shown_as_its_place() -> None:
    record = LogRecord(Partition("weir.proxy-log.v1", "spool"), 7, b"", b"\xff")
    assert shown(record) is None
    assert readable(record, None) == "proxy-log    not an event: spool offset 7"


@pytest.mark.parametrize(
    ("wanted", "lets"),
    [
        (EventFilter(), True),
        (EventFilter(app_id=1, llm_id=2, outcome="served"), True),
        (EventFilter(app_id=2), False),
        (EventFilter(llm_id=1), False),
        (EventFilter(outcome="blocked"), False),
    ],
)
def test_a_filter_lets_through_what_is_asked_for(wanted: EventFilter, lets: bool) -> None:
    assert wanted.lets(shown(logged(app_id=1, llm_id=2, outcome="served"))) is lets
    assert wanted.lets(None) is (wanted == EventFilter())
