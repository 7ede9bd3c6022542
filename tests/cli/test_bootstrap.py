from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from weir_cli.bootstrap import database_url, encryption_keys
from weir_cli.data_dir import DataDir
from weir_cli.errors import DataDirError
from weir_core.errors import SettingsError
from weir_core.secrets import KeyRing
from weir_core.settings import Settings


def test_the_first_start_makes_a_key_that_only_its_owner_can_read_and_later_starts_use_it(
    tmp_path: Path,
) -> None:
    data_dir = DataDir.at(tmp_path)
    first = encryption_keys(Settings(), data_dir)
    assert stat.S_IMODE(data_dir.encryption_keys.stat().st_mode) == 0o600
    assert encryption_keys(Settings(), data_dir) == first


def test_keys_from_the_settings_are_used_and_not_written(tmp_path: Path) -> None:
    key = KeyRing.generate_key()
    data_dir = DataDir.at(tmp_path)
    assert encryption_keys(Settings(encryption_keys=SecretStr(key)), data_dir) == key
    assert not data_dir.encryption_keys.exists()


def test_a_key_that_is_no_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="WEIR_ENCRYPTION_KEYS"):
        encryption_keys(Settings(encryption_keys=SecretStr("short")), DataDir.at(tmp_path))


def test_a_database_without_its_key_file_is_refused_rather_than_given_a_new_key(tmp_path: Path) -> None:
    data_dir = DataDir.at(tmp_path)
    data_dir.database.touch()
    with pytest.raises(DataDirError, match="WEIR_ENCRYPTION_KEYS"):
        encryption_keys(Settings(), data_dir)


def test_the_database_is_in_the_data_directory_unless_the_settings_name_another(tmp_path: Path) -> None:
    data_dir = DataDir.at(tmp_path)
    assert database_url(Settings(), data_dir) == f"sqlite:///{tmp_path}/weir.db"
    other = "sqlite:////elsewhere/weir.db"
    assert database_url(Settings(database_url=SecretStr(other)), data_dir) == other
