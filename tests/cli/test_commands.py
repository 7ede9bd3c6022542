"""The command line as a user meets it: what it prints and how it exits."""

from __future__ import annotations

import socket
import sqlite3
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.cli.conftest import Weir

from weir_cli.admin import command_line
from weir_core.secrets import key_id_of


def test_the_version_is_that_of_the_distribution(weir: Weir) -> None:
    assert weir("--version") == (0, f"weir {version('weir-gateway')}\n", "")


def test_help_lists_every_command(weir: Weir) -> None:
    _, out, _ = weir("--help")
    roles = ("serve", "proxy", "control", "collect", "relay", "streams")
    there = ("plugin", "events", "dead-letters", "erase", "tokens", "keys", "db", "topics", "doctor")
    assert all(f" {command} " in out for command in (*roles, *there))


@pytest.mark.parametrize("arguments", [("nonsense",), ("serve", "--prot", "1"), ("tokens", "revoke")])
def test_wrong_usage_exits_with_2(weir: Weir, arguments: tuple[str, ...]) -> None:
    code, _, err = weir(*arguments)
    assert code == 2
    assert "Usage" in err


def test_a_bad_setting_exits_with_2_and_one_line_that_names_it(
    weir: Weir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_PROT", "1")
    assert weir("serve") == (2, "", "weir: WEIR_PROT is not a setting; did you mean WEIR_PORT?\n")


def test_a_bad_flag_is_named_as_a_flag(weir: Weir) -> None:
    code, _, err = weir("serve", "--port", "70000")
    assert code == 2
    assert err.startswith("weir: --port should be less than or equal to 65535")


def test_a_taken_port_exits_with_1_and_the_way_out(weir: Weir) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, err = weir("serve", "--port", port)
    assert code == 1
    assert err.startswith(f"weir: cannot listen on 127.0.0.1:{port}")
    assert "--port" in err


def test_db_upgrade_makes_the_tables_and_may_be_repeated(weir: Weir, tmp_path: Path) -> None:
    for _ in range(2):
        assert weir("db", "upgrade", "--data-dir", "d")[:2] == (0, "The database is up to date.\n")
    assert (tmp_path / "d" / "weir.db").exists()


def test_a_token_is_made_listed_without_its_secret_and_revoked(weir: Weir) -> None:
    weir("db", "upgrade")
    _, secret, err = weir("tokens", "create", "--name", "dashboard", "--role", "viewer")
    assert err == ""
    key_id = key_id_of(secret.strip(), "wt")
    assert key_id is not None
    _, listed, _ = weir("tokens", "list")
    assert "dashboard" in listed
    assert "viewer" in listed
    assert key_id in listed
    assert secret.strip() not in listed
    assert weir("tokens", "revoke", "1") == (0, "Token 1 is revoked.\n", "")
    assert key_id not in weir("tokens", "list")[1]


def test_a_token_is_bound_to_namespaces_and_the_audit_log_names_its_maker(weir: Weir, tmp_path: Path) -> None:
    weir("db", "upgrade", "--data-dir", "d")
    bound = ("--role", "operator", "--namespace", "north", "--namespace", "south")
    assert weir("tokens", "create", "--data-dir", "d", *bound)[0] == 0
    assert "'north', 'south'" in weir("tokens", "list", "--data-dir", "d")[1]
    connection = sqlite3.connect(tmp_path / "d" / "weir.db")
    [(kind, name, action)] = connection.execute("SELECT actor_kind, actor_name, action FROM audit_log")
    connection.close()
    assert (kind, name, action) == ("command_line", command_line().name, "create")


def test_a_token_that_is_not_there_cannot_be_revoked(weir: Weir) -> None:
    weir("db", "upgrade")
    code, _, err = weir("tokens", "revoke", "7")
    assert code == 1
    assert err.startswith("weir: ")
    assert "7" in err


def test_tokens_of_a_directory_without_a_gateway_are_refused_and_nothing_is_made(
    weir: Weir, tmp_path: Path
) -> None:
    code, _, err = weir("tokens", "list", "--data-dir", "nowhere")
    assert code == 1
    assert "no database" in err
    assert not (tmp_path / "nowhere").exists()
