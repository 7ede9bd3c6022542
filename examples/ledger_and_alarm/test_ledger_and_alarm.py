from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ledger_and_alarm.alarm import Alarm
from ledger_and_alarm.ledger import Ledger

from weir_sdk.testing import RecordingLogger, make_analytics, make_context, make_proxy_log, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    ledger = Ledger()
    run(ledger.initialize, make_context(), {"path": str(path)})
    return ledger


@pytest.fixture
def logger() -> RecordingLogger:
    return RecordingLogger()


@pytest.fixture
def alarm() -> Alarm:
    alarm = Alarm()
    run(alarm.initialize, make_context(), {"most_per_hour": "1.00"})
    return alarm


def rows(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT event_id, cost FROM calls ORDER BY event_id").fetchall()


def test_a_call_is_a_row_and_is_handled(ledger: Ledger, path: Path) -> None:
    (answer,) = run(ledger.handle_batch, make_context(), [make_analytics(event_id="a", cost="0.5")])
    assert answer.handled
    assert rows(path) == [("a", "0.5")]


def test_an_event_that_comes_again_is_there_once(ledger: Ledger, path: Path) -> None:
    for _ in range(2):
        run(ledger.handle_batch, make_context(), [make_analytics(event_id="a", cost="0.5")])
    assert rows(path) == [("a", "0.5")]


def test_what_is_not_written_is_left_to_the_gateway(ledger: Ledger, path: Path) -> None:
    (answer,) = run(ledger.handle_batch, make_context(), [make_proxy_log()])
    assert answer.success
    assert not answer.handled
    assert rows(path) == []


def test_a_failing_database_fails_the_batch(ledger: Ledger, path: Path) -> None:
    path.unlink()
    with pytest.raises(sqlite3.OperationalError):
        run(ledger.handle_batch, make_context(), [make_analytics()])


def spend(alarm: Alarm, logger: RecordingLogger, *costs: str, hour: int = 12, event: str = "") -> list[str]:
    for number, cost in enumerate(costs):
        analytics = make_analytics(
            event_id=event or f"{hour}-{number}", cost=cost, timestamp=f"2026-01-31T{hour}:00:00.000000Z"
        )
        run(alarm.handle_analytics, make_context(logger=logger), analytics)
    return [line.values["spent"] for line in logger.lines]


def test_the_alarm_is_given_once_when_an_hour_has_cost_too_much(
    alarm: Alarm, logger: RecordingLogger
) -> None:
    assert spend(alarm, logger, "0.60", "0.40", "0.10", "0.20") == ["1.10"]


def test_each_hour_begins_anew(alarm: Alarm, logger: RecordingLogger) -> None:
    spend(alarm, logger, "0.60", hour=12)
    assert spend(alarm, logger, "0.60", hour=13) == []


def test_an_event_that_comes_again_is_not_counted(alarm: Alarm, logger: RecordingLogger) -> None:
    assert spend(alarm, logger, "0.60", "0.60", event="same") == []
