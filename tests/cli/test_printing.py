"""Tables that go into a file or a pipe."""

from __future__ import annotations

import pytest
from tests.cli.conftest import Weir


def test_where_there_is_no_terminal_nothing_of_a_table_is_cut(
    weir: Weir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "a token whose name is longer than most terminals are wide, and that is told whole all the same"
    weir("db", "upgrade")
    weir("tokens", "create", "--name", name)
    _, out, _ = weir("tokens", "list")
    assert name in out
