"""``weir erase`` as an operator meets it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.cli.conftest import Weir

from weir_collectors.database import create_engine
from weir_collectors.kinds import EventKind
from weir_collectors.tables import RECORDS
from weir_control.store.tables import plugins

SECRET = "what nobody else must ever read"


@pytest.fixture
def database(tmp_path: Path, weir: Weir) -> Path:
    """The database of a stopped gateway, with one record of user ``lovelace``."""
    weir("db", "upgrade")
    path = tmp_path / "weir-data" / "weir.db"

    async def store() -> None:
        engine = create_engine(f"sqlite:///{path}")
        value = f'{{"user_id": "lovelace", "request_body": "{SECRET}"}}'
        row = {"event_id": "e", "request_id": "r", "timestamp_us": 1, "app_id": 7, "value": value}
        async with engine.begin() as connection:
            await connection.execute(insert(RECORDS[EventKind.PROXY_LOG]).values(row))
        await engine.dispose()

    asyncio.run(store())
    return path


@pytest.mark.parametrize("arguments", [("--user", "lovelace"), ("--app", "7")])
def test_not_a_byte_of_the_body_is_left_in_the_databases_files(
    weir: Weir, database: Path, arguments: tuple[str, str]
) -> None:
    code, out, err = weir("erase", *arguments, "--yes")
    assert (code, err) == (0, "")
    assert "proxy-log records: 1 erased" in out
    for file in database.parent.iterdir():
        assert SECRET.encode() not in file.read_bytes(), file.name


def test_it_says_what_it_cannot_reach_and_until_when(weir: Weir, database: Path) -> None:
    _add_collector(database, "warehouse")
    _, out, _ = weir("erase", "--user", "lovelace", "--yes")
    assert "weir-data/spool: until every consumer has read it and it is 24 hours old" in out
    assert "collector warehouse" in out
    assert "until it is delivered, dead letters of it 14 days" in out
    assert "backups" in out
    assert "refused.jsonl" not in out
    assert "notices" not in out


def test_with_kafka_it_names_what_kafka_refused(
    weir: Weir, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    _, out, _ = weir("erase", "--user", "lovelace", "--yes")
    assert "relay/refused.jsonl of each relay: until you remove them" in out
    assert "notices of dead letters on Kafka, whose reasons may quote what was asked: 14 days" in out


def test_the_audit_log_says_that_it_happened_but_not_which_user(weir: Weir, database: Path) -> None:
    weir("erase", "--user", "lovelace", "--yes")
    with sqlite3.connect(database) as connection:
        actor, action, after = connection.execute(
            "SELECT actor_kind, action, after FROM audit_log ORDER BY id DESC LIMIT 1"
        ).fetchone()
    connection.close()
    assert (actor, action) == ("command_line", "erase")
    assert "lovelace" not in after


def test_it_asks_first(weir: Weir, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/null").open() as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        code, _, _ = weir("erase", "--user", "lovelace")
    assert code == 1
    assert SECRET.encode() in b"".join(file.read_bytes() for file in database.parent.iterdir())


@pytest.mark.parametrize("arguments", [(), ("--app", "1", "--user", "u"), ("--user", ""), ("--app", "0")])
def test_one_app_or_one_user_must_be_named(weir: Weir, database: Path, arguments: tuple[str, ...]) -> None:
    code, _, err = weir("erase", *arguments, "--yes")
    assert code == 2
    assert "--app" in err


def test_without_a_database_it_says_where_it_looked(weir: Weir) -> None:
    code, _, err = weir("erase", "--app", "1", "--yes")
    assert code == 1
    assert "weir-data" in err


def _add_collector(database: Path, slug: str) -> None:
    with sqlite3.connect(database) as connection:
        values = {
            column.name: {"slug": slug, "name": slug, "hook_types": '["data_collection"]'}.get(
                column.name, "{}"
            )
            for column in plugins.c
            if not column.nullable or column.name == "hook_types"
        }
        values["id"] = 1  # type: ignore[assignment]
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO plugins ({names}) VALUES ({marks})", tuple(values.values()))
    connection.close()
