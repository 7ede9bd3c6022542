"""What the Dockerfile does, done here without Docker: its files alone make a wheel that installs and runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NOT_SHIPPED = {"__pycache__", "node_modules"}


def copied(into: Path) -> list[str]:
    """Copy what the build stage copies; return the names."""
    text = (ROOT / "compose" / "Dockerfile").read_text()
    names = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    for name in names:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns(*_NOT_SHIPPED)
            shutil.copytree(ROOT / name, into / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, into / name)
    return names


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_files_that_the_image_copies_make_a_wheel_that_installs_and_runs(tmp_path: Path) -> None:
    source, wheels, home = (tmp_path / name for name in ("source", "wheels", "home"))
    for directory in (source, home):
        directory.mkdir()
    names = copied(source)
    uv = Path(sys.executable).with_name("uv")
    build = ("build", "--wheel", "--offline", "--no-build-isolation", "--python", sys.executable)
    run(uv, *build, "--out-dir", wheels, cwd=source)
    [wheel] = wheels.glob("*.whl")
    packages = [package for name in names for package in (source / name).glob("weir_*") if package.is_dir()]
    shipped = set(zipfile.ZipFile(wheel).namelist())
    assert len(packages) > 5
    for package in packages:
        files = {path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.is_file()}
        assert files - shipped == set(), f"not all of {package.name} is in the wheel"

    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    # The locked dependencies, which the image installs first, are those of these tests.
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip()
    Path(site, "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(uv, "pip", "install", "--offline", "--python", python, "--no-deps", wheel, cwd=home)
    weir = tmp_path / "venv" / "bin" / "weir"
    assert "serve" in run(weir, "--help", cwd=home)
    assert run(weir, "--version", cwd=home).startswith("weir ")
    where = run(python, "-c", "import weir_cli.main, weir_control; print(weir_control.__file__)", cwd=home)
    assert Path(where.strip()).is_relative_to(tmp_path / "venv")
