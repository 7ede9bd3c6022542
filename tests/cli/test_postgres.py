"""The command line with a Postgres that other gateways may share."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from weir_cli.bootstrap import encryption_keys, prepare_database
from weir_cli.data_dir import DataDir
from weir_control.errors import SchemaError
from weir_control.migrations import upgrade
from weir_core.errors import SettingsError
from weir_core.secrets import KeyRing
from weir_core.settings import Settings

SHARED = SecretStr("postgresql://weir:hunter2@db/weir?sslmode=verify-full")


@pytest.mark.system
async def test_a_start_leaves_the_tables_of_a_shared_database_alone(postgres: str, tmp_path: Path) -> None:
    settings = Settings(database_url=SecretStr(postgres))
    data_dir = DataDir.at(tmp_path)
    with pytest.raises(SchemaError, match="weir db upgrade"):
        await prepare_database(settings, data_dir)
    await upgrade(postgres)
    await prepare_database(settings, data_dir)


def test_a_shared_database_gets_no_key_that_only_one_gateway_has(tmp_path: Path) -> None:
    data_dir = DataDir.at(tmp_path)
    with pytest.raises(SettingsError, match="WEIR_ENCRYPTION_KEYS"):
        encryption_keys(Settings(database_url=SHARED), data_dir)
    assert not data_dir.encryption_keys.exists()
    key = KeyRing.generate_key()
    given = Settings(database_url=SHARED, encryption_keys=SecretStr(key))
    assert encryption_keys(given, data_dir) == key


def test_the_databases_password_is_for_children_only() -> None:
    settings = Settings(database_url=SHARED)
    assert "hunter2" not in f"{settings!r} {settings.without_secrets()}"
    assert Settings.model_validate(settings.for_children()) == settings
