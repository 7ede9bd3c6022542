"""What a host that is killed leaves behind: nothing, at whatever line it was."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from tests.host.programs import until

from weir_host.child.keeper import Keeper

HOST = """
import signal, sys
from weir_host.child.keeper import Keeper

keeper = Keeper()
directory = keeper.make_directory()
(directory / "left").touch()
print(directory, flush=True)
signal.pause()
"""


async def test_a_directory_goes_with_a_host_that_is_killed_before_it_has_started_a_plugin() -> None:
    host = await asyncio.create_subprocess_exec(sys.executable, "-c", HOST, stdout=asyncio.subprocess.PIPE)
    assert host.stdout is not None
    directory = Path((await host.stdout.readline()).decode().strip())
    assert directory.is_dir()
    host.kill()
    await host.wait()
    await until(lambda: not directory.exists())


def test_the_directories_of_another_host_are_left_alone() -> None:
    first, second = Keeper(), Keeper()
    mine, theirs = first.make_directory(), second.make_directory()
    first.close()
    assert (mine.exists(), theirs.exists()) == (False, True)
    second.close()


def test_a_path_that_is_too_long_for_sockets_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("deep" * 20)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    keeper = Keeper()
    directory = keeper.make_directory()
    assert len(str(directory)) <= 80
    keeper.close()
    assert not directory.exists()
