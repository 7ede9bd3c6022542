"""What ``weir doctor`` says of roles that run alone."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.cli.conftest import Weir
from tests.streams.support import RecordingLogger
from tests.support.answering import answering

from weir_cli.data_dir import DataDir
from weir_cli.doctor_findings import Finding, Level, Patient
from weir_cli.doctor_kafka import KafkaGroupLag
from weir_cli.doctor_machine import Holder
from weir_cli.doctor_roles import examine_kept_configuration, examine_link_to_control, examine_roles
from weir_cli.doctor_streams import examine_streams
from weir_collectors.database import create_engine
from weir_control.store.leadership import Leadership
from weir_control.store.reports import write_reports
from weir_control.workers import Report
from weir_core.clock import SystemClock
from weir_core.kafka_options import KafkaOptions
from weir_core.secrets import KeyRing
from weir_core.settings import Settings
from weir_core.snapshot import Snapshot
from weir_streams.config_feed import FileConfigFeed
from weir_streams.windows.store import WindowStore

KEYS = KeyRing([bytes(32)])
WITH_KAFKA = Settings(kafka=KafkaOptions(bootstrap_servers="127.0.0.1:1"))
RUNNING = [Holder(7, "weir streams", [])]


def patient(root: Path, **settings: Any) -> Patient:
    return Patient(Settings(data_dir=root, **settings), DataDir(root), SystemClock())


def said(findings: Sequence[Finding] | Iterator[Finding]) -> list[tuple[Level, str]]:
    return [(one.level, one.what) for one in findings]


@pytest.fixture
def windows(tmp_path: Path) -> WindowStore:
    (tmp_path / "streams").mkdir()
    return WindowStore.open(tmp_path / "streams" / "windows.db", 300)


def lag_of(store: WindowStore, events: int) -> list[KafkaGroupLag]:
    return [KafkaGroupLag(f"north-weir.streams.{store.store_id}", "weir.analytics.v1", events, late=False)]


def test_windows_that_are_kept_well_are_told_with_the_lag_of_their_group(
    windows: WindowStore, tmp_path: Path
) -> None:
    windows.began()
    [published, kept] = said(examine_streams(patient(tmp_path), RUNNING, lag_of(windows, 0)))
    assert published[0] is Level.OK
    assert f"group weir.streams.{windows.store_id}: 0 events behind; 0 windows" in published[1]
    assert kept == (Level.OK, "weir streams keeps the windows")
    behind, _ = said(examine_streams(patient(tmp_path), RUNNING, lag_of(windows, 5)))
    assert (behind[0], "5 events behind" in behind[1]) == (Level.NOTE, True)


def test_an_unclean_stop_of_streams_is_told_until_it_runs_again(windows: WindowStore, tmp_path: Path) -> None:
    windows.began()
    [lag, state] = said(examine_streams(patient(tmp_path), [], []))
    assert "its lag is not known" in lag[1]
    assert state == (Level.NOTE, "the last stop was not clean, and weir streams does not run")
    windows.ended()
    assert "its last stop was clean" in said(examine_streams(patient(tmp_path), [], []))[-1][1]
    assert os.listdir(tmp_path / "streams") == ["windows.db"]


def test_windows_that_lack_events_or_will_be_made_anew_are_told(windows: WindowStore, tmp_path: Path) -> None:
    windows.ended()
    with sqlite3.connect(tmp_path / "streams" / "windows.db") as database:
        database.execute("UPDATE facts SET value = '1790000000' WHERE name = 'complete_from_s'")
    streams = {"window_seconds": 600}
    told = " ".join(what for _, what in said(examine_streams(patient(tmp_path, streams=streams), [], [])))
    assert "windows before 2026-09-21T14:13:20.000000Z may lack events" in told
    assert "its windows have 300 s, streams.window_seconds is 600" in told


def test_a_file_of_windows_that_cannot_be_read_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "streams").mkdir()
    (tmp_path / "streams" / "windows.db").write_bytes(b"no database" * 100)
    [(level, what)] = said(examine_streams(patient(tmp_path), [], []))
    assert (level, "windows.db cannot be used" in what) == (Level.WRONG, True)


def test_where_no_streams_ever_ran_nothing_is_said_of_them(tmp_path: Path) -> None:
    assert said(examine_streams(patient(tmp_path), [], [])) == []


@pytest.fixture
async def engine(migrated_postgres: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(migrated_postgres)
    yield engine
    await engine.dispose()


@pytest.fixture
async def leadership(engine: AsyncEngine) -> AsyncIterator[Leadership]:
    leadership = Leadership(engine, "control-a")
    yield leadership
    await leadership.resign()


@pytest.mark.system
async def test_who_has_reported_with_which_revision_and_who_leads_is_told(
    engine: AsyncEngine, leadership: Leadership
) -> None:
    assert await leadership.lead() == 1
    async with leadership.publishing(1, 0):
        pass
    proxy = Report(worker="proxy-1", revision=0, edge_id="north-1")
    relay = Report(worker="relay", revision=0, role="relay", edge_id="north-1")
    await write_reports(engine, [proxy, relay])
    async with engine.connect() as connection:
        findings = await examine_roles(WITH_KAFKA, connection)
    assert [one.level for one in findings] == [Level.OK] * 3
    texts = [one.what.replace(" 1 s ago", " 0 s ago") for one in findings]
    assert texts[:2] == [
        "proxy proxy-1 of north-1 reported 0 s ago, revision 0",
        "relay relay of north-1 reported 0 s ago",
    ]
    assert texts[2] == "control-a leads, epoch 1, revision 0 published"
    await leadership.resign()
    async with engine.connect() as connection:
        [leader] = (await examine_roles(WITH_KAFKA, connection))[2:]
    assert leader.what == "no control process leads; control-a did last, epoch 1"
    assert leader.level is Level.WRONG


@pytest.mark.system
async def test_a_role_that_is_silent_or_behind_is_to_be_looked_at(engine: AsyncEngine) -> None:
    await write_reports(engine, [Report(worker="gone", revision=3), Report(worker="slow", revision=2)])
    async with engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE config_head SET revision = 3")
        await connection.exec_driver_sql(
            "UPDATE worker_reports SET seen_at_us = seen_at_us - 60000000 WHERE worker = 'gone'"
        )
        findings = await examine_roles(Settings(), connection)
    assert [one.level for one in findings] == [Level.NOTE] * 2
    assert "gone reported 6" in findings[0].what
    assert findings[1].what.endswith("revision 2 of 3")


@pytest.mark.parametrize("key", [0, 1])
def test_the_revision_that_a_proxy_would_start_with_is_told_where_its_key_is_here(
    tmp_path: Path, key: int
) -> None:
    feed = FileConfigFeed(tmp_path / "config", KEYS, RecordingLogger())
    feed.publish(Snapshot(12))
    [(level, what)] = said(examine_kept_configuration(patient(tmp_path), KeyRing([bytes([key]) * 32])))
    if key:
        assert (level, "cannot be read" in what) == (Level.WRONG, True)
    else:
        assert (level, what.split(", ")[0]) == (Level.OK, f"revision 12 is kept in {tmp_path / 'config'}")


@pytest.mark.parametrize(("status", "level"), [(204, Level.OK), (403, Level.WRONG)])
async def test_whether_control_takes_the_reports_of_a_proxy_is_told(status: int, level: Level) -> None:
    async with answering(status) as (url, tokens):
        [finding] = await examine_link_to_control(Settings(control_url=url, edge_token=SecretStr("wt_edge")))
    assert (finding.level, tokens) == (level, ["Bearer wt_edge"])
    [away] = await examine_link_to_control(Settings(control_url=url, edge_token=SecretStr("wt_edge")))
    assert away.level is Level.WRONG
    assert "wt_edge" not in f"{finding}{away}"


def test_a_proxys_directory_is_looked_at_without_a_database(
    weir: Weir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = KeyRing.generate_key()
    monkeypatch.setenv("WEIR_ENCRYPTION_KEYS", key)
    root = tmp_path / "weir-data"
    root.mkdir(mode=0o700)
    FileConfigFeed(root / "config", KeyRing.from_text(key), RecordingLogger()).publish(Snapshot(4))
    os.chmod(root / "config", 0o700)
    code, out, _ = weir("doctor", "--json")
    told = {one["area"]: one["what"] for one in json.loads(out)["findings"]}
    assert code == 0
    assert told["configuration"].startswith("revision 4 is kept in ")
