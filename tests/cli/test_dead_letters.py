"""``weir dead-letters`` as an operator meets it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.cli.conftest import Weir

from weir_collectors.database import create_engine
from weir_collectors.tables_dead_letters import dead_letter_ranges, dead_letters

MOMENT_US = 1_800_000_000_000_000
LETTER = {
    "event_id": "e1",
    "collector": "warehouse",
    "kind": "proxy-log",
    "reason": "no such column [bold]",
    "retryable": False,
    "tries": 3,
    "failed_at_us": MOMENT_US,
    "edge_namespace": "",
    "value": '{"event_id":"e1","request_body":"hello"}',
    "state": "failed",
}
RANGE = {
    "collector": "warehouse",
    "kind": "proxy-log",
    "topic": "weir.proxy-log.v1",
    "partition": "spool",
    "first_offset": 5,
    "last_offset": 9,
    "events": 4,
    "first_timestamp_us": MOMENT_US,
    "last_timestamp_us": MOMENT_US,
    "reason": "connection refused",
    "opened_at_us": MOMENT_US,
    "next_offset": 5,
    "redriven": 0,
    "failed": 0,
    "missing": 0,
    "state": "closed",
}


@pytest.fixture
def database(tmp_path: Path, weir: Weir, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database of a stopped gateway, with one dead letter and one range."""
    monkeypatch.setenv("COLUMNS", "200")
    weir("db", "upgrade")
    path = tmp_path / "weir-data" / "weir.db"

    async def store() -> None:
        engine = create_engine(f"sqlite:///{path}")
        async with engine.begin() as connection:
            await connection.execute(insert(dead_letters).values(LETTER))
            await connection.execute(insert(dead_letter_ranges).values(RANGE))
        await engine.dispose()

    asyncio.run(store())
    return path


def states(database: Path) -> list[str]:
    with sqlite3.connect(database) as connection:
        query = "SELECT state FROM dead_letters UNION ALL SELECT state FROM dead_letter_ranges"
        found = [state for (state,) in connection.execute(query)]
    connection.close()
    return found


@pytest.mark.usefixtures("database")
def test_list_shows_letters_and_ranges_with_their_reasons(weir: Weir) -> None:
    code, out, _ = weir("dead-letters", "list")
    assert code == 0
    assert "no such column [bold]" in out
    assert "connection refused" in out
    assert "2027-01-15T08:00:00.000000Z" in out
    _, out, _ = weir("dead-letters", "list", "--collector", "other")
    assert "0 of 0" in out


@pytest.mark.usefixtures("database")
def test_show_prints_the_whole_event(weir: Weir) -> None:
    code, out, _ = weir("dead-letters", "show", "1")
    assert code == 0
    assert '"request_body": "hello"' in out
    assert "no such column [bold]" in out
    code, out, _ = weir("dead-letters", "show", "1", "--range")
    assert (code, "connection refused" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("1",), ["requested", "closed"]),
        (("1", "--range"), ["failed", "requested"]),
        (("--collector", "warehouse"), ["requested", "requested"]),
        (("--collector", "other"), ["failed", "closed"]),
    ],
)
def test_redrive_asks_for_what_it_is_told(
    weir: Weir, database: Path, arguments: tuple[str, ...], expected: list[str]
) -> None:
    code, out, _ = weir("dead-letters", "redrive", *arguments)
    assert (code, "Asked for" in out) == (0, True)
    assert states(database) == expected
    with sqlite3.connect(database) as connection:
        asked = connection.execute("SELECT actor_kind, action FROM audit_log").fetchall()
    connection.close()
    assert asked[-1] == ("command_line", "redrive")


@pytest.mark.usefixtures("database")
def test_what_is_not_there_fails_and_half_a_question_is_wrong_usage(weir: Weir) -> None:
    code, _, err = weir("dead-letters", "show", "9")
    assert (code, "no dead letter with the id 9" in err) == (1, True)
    assert weir("dead-letters", "redrive")[0] == 2
    assert weir("dead-letters", "redrive", "1", "--collector", "warehouse")[0] == 2
