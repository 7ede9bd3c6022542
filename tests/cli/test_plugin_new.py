"""``weir plugin new``: what it writes works as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Weir

from weir_cli.plugin.scaffold import Kind

EVERY_FORM = [(kind, process) for kind in Kind for process in (False, True)]


def name_of(kind: Kind, process: bool) -> str:
    return f"my-{kind}-{'process' if process else 'class'}"


def write(weir: Weir, kind: Kind, process: bool) -> str:
    name = name_of(kind, process)
    code, out, err = weir("plugin", "new", name, "--kind", kind, *(("--process",) if process else ()))
    assert code == 0, err
    assert f"{name}/README.md" in out
    return name


def test_new_plugins_pass_their_own_tests_and_a_linter(weir: Weir, tmp_path: Path) -> None:
    homes = [tmp_path / write(weir, kind, process) for kind, process in EVERY_FORM]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, homes))}
    for tool in (
        ("pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"),
        ("ruff", "check", "--no-cache", "--isolated", "--select=E,F,UP,B", "--line-length=110"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", *tool, *map(str, homes)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("kind", "process"), EVERY_FORM)
def test_a_new_plugin_is_five_files_and_a_program_where_it_is_a_process(
    weir: Weir, tmp_path: Path, kind: Kind, process: bool
) -> None:
    home = tmp_path / write(weir, kind, process)
    module = home.name.replace("-", "_")
    names = {f"{module}.py", f"test_{module}.py", "event.json", "README.md", "pyproject.toml"}
    assert {path.name for path in home.iterdir()} == names
    assert os.access(home / f"{module}.py", os.X_OK) is process


@pytest.mark.parametrize(("kind", "process"), [(kind, number % 2 == 1) for number, kind in enumerate(Kind)])
def test_the_commands_in_its_readme_work(
    weir: Weir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind, process: bool
) -> None:
    home = tmp_path / write(weir, kind, process)
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", [str(home), *sys.path])
    commands = [line for line in (home / "README.md").read_text().splitlines() if line.startswith("weir ")]
    assert [line.split()[2] for line in commands] == ["check", "run"]
    for command in commands:
        target, _, rest = command.partition(" --config '")
        config, _, rest = rest.partition("'")
        config = config.replace("/tmp/", f"{tmp_path}/")
        code, out, err = weir(*target.split()[1:], "--config", config, *rest.split())
        assert code == 0, out + err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("My Guard", "small letters"),
        ("-x", "No such option"),
        ("../up", "small letters"),
        ("json", "choose another name"),
        ("class", "choose another name"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_and_nothing_is_written(
    weir: Weir, tmp_path: Path, name: str, said: str
) -> None:
    code, _, err = weir("plugin", "new", name)
    assert code == 2
    assert said in err
    assert not list(tmp_path.iterdir())


def test_what_is_there_already_is_left_alone(weir: Weir, tmp_path: Path) -> None:
    (tmp_path / "my-guard").mkdir()
    code, _, err = weir("plugin", "new", "my-guard")
    assert code == 1
    assert "is there already" in err
    assert not list((tmp_path / "my-guard").iterdir())


def test_it_can_be_written_elsewhere(weir: Weir, tmp_path: Path) -> None:
    assert weir("plugin", "new", "my-guard", "--directory", "plugins")[0] == 0
    assert (tmp_path / "plugins" / "my-guard" / "my_guard.py").exists()
