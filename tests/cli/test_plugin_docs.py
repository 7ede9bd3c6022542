"""What docs/plugins.md tells authors to type does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Weir

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def pages_directory(weir: Weir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files, in the directory in which commands run."""
    for source in blocks("python"):
        (tmp_path / source.partition("\n")[0].removeprefix("# ")).write_text(source)
    (tmp_path / "call.json").write_text(blocks("json")[0])
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return tmp_path


def test_the_first_plugin_does_what_the_page_says(weir: Weir, pages_directory: Path) -> None:
    run, *checks = (line.split()[1:] for line in blocks("sh")[0].splitlines())
    code, out, _ = weir(*run)
    assert code == 0
    assert "the client gets 403 No secrets, please." in out
    assert len(checks) == 2
    for check in checks:
        code, out, err = weir(*check)
        assert code == 0, out + err


def test_the_pages_test_passes(pages_directory: Path) -> None:
    arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."]
    done = subprocess.run(
        arguments, cwd=pages_directory, capture_output=True, text=True, check=False, env={"PYTHONPATH": "."}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_recorded_call_can_be_played(weir: Weir, pages_directory: Path) -> None:
    (pages_directory / "call.json").write_text(blocks("json")[1])
    code, out, err = weir("plugin", "run", "no_secrets.py", "--event", "call.json")
    assert code == 0, err
    assert "+ X-App-Id: 7" in out


@pytest.mark.parametrize("command", ["new", "run", "check", "schema"])
def test_every_command_and_option_is_described(weir: Weir, command: str) -> None:
    _, out, _ = weir("plugin", command, "--help")
    options = set(re.findall(r"--[a-z-]+", out)) - {"--help"}
    assert f"weir plugin {command}" in PAGE
    assert {option for option in options if option not in PAGE} == set()
