"""``weir doctor`` as an operator meets it, on directories that were used and on ones that are damaged."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Weir

from weir_cli.data_dir import DataDir
from weir_cli.doctor_findings import Level, Patient
from weir_cli.doctor_machine import examine_clock, examine_processes, holders
from weir_cli.doctor_reach import examine_elasticsearch, examine_upstreams
from weir_core.clock import SystemClock
from weir_core.settings import Settings


@pytest.fixture
def data_dir(weir: Weir, tmp_path: Path) -> Path:
    """That of a gateway that was set up and is stopped."""
    weir("db", "upgrade")
    return tmp_path / "weir-data"


def examined(weir: Weir, *arguments: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = weir("doctor", "--json", *arguments)
    return code, json.loads(out)


def wrongs(diagnosis: dict[str, Any]) -> list[str]:
    return [one["what"] for one in diagnosis["findings"] if one["level"] == "wrong"]


def patient(root: Path) -> Patient:
    return Patient(Settings(data_dir=root), DataDir(root), SystemClock())


def test_where_nothing_was_started_nothing_is_wrong_and_nothing_is_made(weir: Weir, tmp_path: Path) -> None:
    code, diagnosis = examined(weir)
    assert (code, wrongs(diagnosis)) == (0, [])
    assert not (tmp_path / "weir-data").exists()


@pytest.mark.usefixtures("data_dir")
def test_a_gateway_that_is_down_and_whole_is_well(weir: Weir) -> None:
    code, diagnosis = examined(weir)
    assert (code, wrongs(diagnosis)) == (0, [])
    assert diagnosis["spool"]["waiting_events"] == 0


def test_each_setting_is_shown_with_where_it_comes_from_and_secrets_only_as_set(
    weir: Weir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weir.toml").write_text("workers = 2\n[kafka]\npartitions = 3\n")
    monkeypatch.setenv("WEIR_ADMIN_TOKEN", "hush-hush-hush")
    _, out, _ = weir("doctor", "--json", "--data-dir", "elsewhere")
    shown = {one["name"]: (one["value"], one["source"]) for one in json.loads(out)["settings"]}
    assert shown["workers"] == ("2", "settings file")
    assert shown["kafka.partitions"] == ("3", "settings file")
    assert shown["data_dir"] == ("elsewhere", "flag")
    assert shown["admin_token"] == ("(set, not shown)", "WEIR_ADMIN_TOKEN")
    assert "hush" not in out


def test_tables_of_an_older_version_are_named_with_the_command_that_mends_them(
    weir: Weir, data_dir: Path
) -> None:
    with sqlite3.connect(data_dir / "weir.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    code, out, _ = weir("doctor")
    assert code == 1
    assert "revision 0001" in out
    assert "weir db upgrade" in out


def test_keys_that_are_gone_are_wrong_and_are_not_made_anew(weir: Weir, data_dir: Path) -> None:
    (data_dir / "encryption-keys").unlink()
    code, diagnosis = examined(weir)
    assert code == 1
    assert wrongs(diagnosis) == ["there are no encryption keys, or they cannot be read"]
    assert not (data_dir / "encryption-keys").exists()


def test_what_others_may_read_is_wrong(weir: Weir, data_dir: Path) -> None:
    data_dir.chmod(0o755)
    (data_dir / "encryption-keys").chmod(0o644)
    code, diagnosis = examined(weir)
    assert code == 1
    assert len(wrongs(diagnosis)) == 2


def test_edge_payloads_that_wait_or_were_given_up_are_told(weir: Weir, data_dir: Path) -> None:
    with sqlite3.connect(data_dir / "weir.db") as database:
        for number, state in enumerate(("waiting", "failed", "failed")):
            database.execute(
                "INSERT INTO edge_payloads (event_id, edge_namespace, edge_id, plugin_id, sent_at_us, "
                "received_at_us, state, tries, next_try_at_us, last_error, value) "
                "VALUES (?, '', '', 1, 1, 1, ?, 0, 0, '', x'')",
                (str(number), state),
            )
    _, out, _ = weir("doctor")
    assert "1 edge payloads wait for a studio plugin, 2 are dead letters" in out


def test_dead_letters_are_told(weir: Weir, data_dir: Path) -> None:
    with sqlite3.connect(data_dir / "weir.db") as connection:
        connection.execute(
            "INSERT INTO dead_letters (event_id, collector, kind, reason, retryable, tries, failed_at_us, "
            "edge_namespace, state) VALUES ('e', 'c', 'proxy-log', 'no', 0, 1, 1, '', 'failed')"
        )
    connection.close()
    code, out, _ = weir("doctor")
    assert code == 0
    assert "1 dead letters" in out


def test_brokers_that_do_not_answer_are_wrong(weir: Weir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    code, out, _ = weir("doctor")
    assert code == 1
    assert "start the brokers" in out


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells which files are open")
def test_a_file_that_was_deleted_under_its_writer_is_found(tmp_path: Path) -> None:
    path = tmp_path / "weir.db"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    child = os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=_with_descriptor(fd))
    try:
        path.unlink()
        (holder,) = [one for one in holders(tmp_path) if one.pid == child]
        assert holder.lost == [str(path)]
        found = list(examine_processes(patient(tmp_path), [holder]))
        assert [one.level for one in found if str(path) in one.what] == [Level.WRONG]
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(fd)


def _with_descriptor(fd: int) -> list[tuple[int, int, int]]:
    # Its standard input is a pipe's reading end that never ends; 9 is inherited as it is dup'ed.
    reading, _ = os.pipe()
    return [(os.POSIX_SPAWN_DUP2, reading, 0), (os.POSIX_SPAWN_DUP2, fd, 9)]


def test_a_clock_that_was_set_back_is_noticed(tmp_path: Path) -> None:
    segment = tmp_path / "spool" / "a" / "0.seg"
    segment.parent.mkdir(parents=True)
    segment.touch()
    ahead_s = SystemClock().wall_us() / 1_000_000 + 3600
    os.utime(segment, (ahead_s, ahead_s))
    (found,) = examine_clock(patient(tmp_path))
    assert found.level is Level.WRONG


async def test_an_upstream_without_an_address_is_wrong() -> None:
    found = await examine_upstreams({"here": "http://127.0.0.1:1/v1", "gone": "https://nowhere.invalid"})
    assert [(one.area, one.level) for one in found] == [
        ("upstreams", Level.WRONG),
        ("upstreams", Level.OK),
    ]


async def test_a_cluster_that_does_not_answer_is_wrong_and_its_password_is_not_shown() -> None:
    (found,) = await examine_elasticsearch({"plugin 1 config": "http://user:hush@127.0.0.1:9"})
    assert found.level is Level.WRONG
    assert "hush" not in found.what
