from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from weir_cli.data_dir import DataDir, DataDirLock, write_private
from weir_cli.errors import DataDirError, DataDirInUseError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    data_dir = DataDir.at(tmp_path / "deep" / "weir-data")
    data_dir.prepare_run()
    assert mode(data_dir.root) == mode(data_dir.run) == mode(data_dir.metrics) == 0o700


def test_a_path_that_cannot_be_a_directory_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirError, match="file/data"):
        DataDir.at(tmp_path / "file" / "data")


def test_what_an_earlier_run_left_in_run_is_gone(tmp_path: Path) -> None:
    data_dir = DataDir.at(tmp_path / "data")
    data_dir.prepare_run()
    (data_dir.metrics / "counter_1.db").touch()
    data_dir.control_socket.touch()
    data_dir.prepare_run()
    assert list(data_dir.metrics.iterdir()) == []
    assert not data_dir.control_socket.exists()


def test_a_directory_too_deep_for_a_unix_socket_gets_a_private_place_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Path("/tmp") / f"weir-test-{os.getpid()}"
    short.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(short))
    data_dir = DataDir.at(tmp_path / ("d" * 60) / ("e" * 60))
    data_dir.prepare_run()
    place = data_dir.control_socket
    assert place.parent.parent == short
    assert len(os.fsencode(place)) < 100
    assert mode(place.parent) == 0o700
    place.parent.chmod(0o755)
    with pytest.raises(DataDirError, match="not private"):
        data_dir.prepare_run()
    place.parent.rmdir()
    short.rmdir()


async def test_a_second_gateway_on_the_same_directory_is_told_who_has_it(
    tmp_path: Path, fake_time: Any
) -> None:
    data_dir = DataDir.at(tmp_path)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    lock = await DataDirLock.take(data_dir)
    with pytest.raises(DataDirInUseError, match=f"process {os.getpid()}"):
        await DataDirLock.take(data_dir, sleep=sleep)
    assert 2.9 < sum(slept) < 3.1
    lock.release()
    (await DataDirLock.take(data_dir, sleep=sleep)).release()


async def test_a_directory_whose_last_holder_ends_within_the_wait_is_taken(tmp_path: Path) -> None:
    data_dir = DataDir.at(tmp_path)
    first = await DataDirLock.take(data_dir)

    async def sleep(_seconds: float) -> None:
        first.release()

    (await DataDirLock.take(data_dir, sleep=sleep)).release()


def test_a_private_file_is_replaced_whole_and_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]
