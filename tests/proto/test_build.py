from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from weir_proto import build


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return Path(shutil.copytree(build.PACKAGE, tmp_path / build.PACKAGE.name))


def test_the_committed_code_is_what_the_sources_make(capfd: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--check"]) == 0, capfd.readouterr().err


def test_check_names_code_that_was_edited_lost_or_outlived_its_source(
    package: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (package / "plugin_pb2_grpc.py").write_text("# edited\n")
    (package / "go_plugin_pb2.pyi").unlink()
    (package / "config_provider.proto").unlink()

    assert build.main(["--check"], package) == 1

    named = [line.split()[2].rstrip(";") for line in capfd.readouterr().err.splitlines()]
    assert named == [
        "config_provider_pb2.py",
        "config_provider_pb2.pyi",
        "config_provider_pb2_grpc.py",
        "go_plugin_pb2.pyi",
        "plugin_pb2_grpc.py",
    ]
    assert (package / "plugin_pb2_grpc.py").read_text() == "# edited\n"


def test_building_again_makes_everything_current(package: Path) -> None:
    (package / "plugin_pb2_grpc.py").write_text("# edited\n")
    (package / "config_provider.proto").unlink()

    assert build.main([], package) == 0

    assert build.main(["--check"], package) == 0
    assert not list(package.glob("config_provider*"))


def test_a_source_that_protoc_refuses_fails_and_changes_nothing(
    package: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (package / "plugin.proto").write_text('syntax = "proto3"; message Broken {')
    before = (package / "plugin_pb2.py").read_bytes()

    assert build.main([], package) == 1

    assert "plugin.proto" in capfd.readouterr().err
    assert (package / "plugin_pb2.py").read_bytes() == before
