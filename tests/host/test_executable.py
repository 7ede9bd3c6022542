from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from weir_host.child.executable import open_executable
from weir_host.commands import FileCommand
from weir_host.errors import PluginStartError


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A directory with a program in it."""
    directory = tmp_path / "plugins"
    directory.mkdir()
    (directory / "firewall").write_text("#!/bin/sh\n")
    (directory / "firewall").chmod(0o755)
    return directory


def open_it(path: Path, *dirs: Path, checksum: str | None = None) -> str:
    allowed = [str(directory) for directory in dirs] if dirs else None
    program = open_executable(FileCommand(str(path)), plugin_dirs=allowed, checksum=checksum)
    with program.file:
        return program.path


def test_a_program_below_an_allowed_directory_may_be_started(plugins: Path) -> None:
    assert open_it(plugins / "firewall", plugins) == str(plugins / "firewall")
    assert open_it(plugins / "firewall", plugins / "none", plugins.parent) == str(plugins / "firewall")
    assert open_it(plugins / "firewall") == str(plugins / "firewall")


def test_an_allowed_directory_may_itself_be_a_link(plugins: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(plugins)
    assert open_it(tmp_path / "current" / "firewall", tmp_path / "current") == str(plugins / "firewall")


def test_a_program_elsewhere_may_not(plugins: Path, tmp_path: Path) -> None:
    beside = tmp_path / "plugins-of-others"
    beside.mkdir()
    (beside / "firewall").write_bytes((plugins / "firewall").read_bytes())
    with pytest.raises(PluginStartError, match=r"is not below one of the plugin_dirs .*add its directory"):
        open_it(beside / "firewall", plugins)


def test_a_link_leads_nowhere_that_it_may_not(plugins: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("#!/bin/sh\n")
    (plugins / "link").symlink_to(tmp_path / "outside")
    (plugins / "inside").symlink_to(plugins / "firewall")
    with pytest.raises(PluginStartError, match=r"link \(which is .*outside\) is not below"):
        open_it(plugins / "link", plugins)
    assert open_it(plugins / "inside", plugins) == str(plugins / "firewall")


def test_an_empty_list_allows_nothing(plugins: Path) -> None:
    with pytest.raises(PluginStartError, match="none is set"):
        open_executable(FileCommand(str(plugins / "firewall")), plugin_dirs=[], checksum=None)


def test_what_is_no_program_says_what_it_is(plugins: Path) -> None:
    (plugins / "notes").write_text("notes")
    os.mkfifo(plugins / "fifo")
    with pytest.raises(
        PluginStartError, match=r"notes is not executable; run chmod \+x on it, or name it \.py"
    ):
        open_it(plugins / "notes")
    with pytest.raises(PluginStartError, match="fifo is not a file"):
        open_it(plugins / "fifo")
    with pytest.raises(PluginStartError, match="cannot be opened: No such file"):
        open_it(plugins / "missing")
    with pytest.raises(PluginStartError, match="Is a directory"):
        open_it(plugins)


def test_a_python_file_needs_no_permission_to_execute(plugins: Path) -> None:
    (plugins / "plugin.py").write_text("pass")
    assert open_it(plugins / "plugin.py") == str(plugins / "plugin.py")


def test_a_checksum_is_compared_with_the_file_that_is_opened(plugins: Path) -> None:
    right = hashlib.sha256(b"#!/bin/sh\n").hexdigest()
    assert open_it(plugins / "firewall", checksum=right)
    assert open_it(plugins / "firewall", checksum=f"sha256:{right.upper()}")
    (plugins / "firewall").write_text("#!/bin/sh\nrm -rf /\n")
    with pytest.raises(PluginStartError, match="which is not the plugin's checksum"):
        open_it(plugins / "firewall", checksum=right)
    with pytest.raises(PluginStartError, match="is no SHA-256"):
        open_it(plugins / "firewall", checksum="md5:abc")
