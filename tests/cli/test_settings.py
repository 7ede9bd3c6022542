from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from weir_cli.configuration import load_settings
from weir_core.errors import SettingsError
from weir_core.settings import Settings
from weir_core.settings_sources import resolve, setting_names


def made(**sources: Any) -> Settings:
    return resolve(**{"file": {}, "environ": {}, "flags": {}} | sources)


def refusal(**sources: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        made(**sources)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_any_source_the_defaults_hold() -> None:
    settings = made()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 3000, 1)
    assert settings.data_dir == Path("weir-data")
    assert settings.max_request_bytes == 32 * 1024 * 1024
    assert settings == Settings()


def test_the_environment_overrides_the_file_and_flags_override_both() -> None:
    settings = made(
        file={"port": 1, "workers": 2, "host": "0.0.0.0"},
        environ={"WEIR_PORT": "10", "WEIR_WORKERS": "20"},
        flags={"port": 100, "workers": None},
    )
    assert (settings.port, settings.workers, settings.host) == (100, 20, "0.0.0.0")


def test_a_table_of_the_file_and_the_environment_are_merged_name_by_name() -> None:
    settings = made(
        file={"spool": {"sync": "always", "retention_hours": 2}}, environ={"WEIR_SPOOL_RETENTION_HOURS": "3"}
    )
    assert (settings.spool.sync, settings.spool.retention_hours) == ("always", 3)


def test_sizes_may_be_written_with_a_unit() -> None:
    assert made(environ={"WEIR_MAX_REQUEST_BYTES": "1 MiB"}).max_request_bytes == 1048576


def test_plugin_modules_are_separated_by_commas_in_the_environment() -> None:
    assert made(environ={"WEIR_PLUGIN_MODULES": "ours, theirs"}).plugin_modules == ("ours", "theirs")
    assert made(file={"plugin_modules": ["ours"]}).plugin_modules == ("ours",)


def test_an_empty_environment_value_is_taken_as_absent() -> None:
    assert made(environ={"WEIR_ADMIN_TOKEN": "", "WEIR_PORT": ""}).admin_token is None


def test_other_programs_environment_is_not_looked_at() -> None:
    assert made(environ={"PORT": "x", "WEIRD": "y"}) == Settings()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        made().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"environ": {"WEIR_PROT": "1"}}, "WEIR_PROT is not a setting; did you mean WEIR_PORT?"),
        ({"environ": {"WEIR_XYZZY": "1"}}, "WEIR_XYZZY is not a setting; see docs/settings.md"),
        ({"environ": {"WEIR_SPOOL": "1"}}, "WEIR_SPOOL is not a setting"),
        ({"file": {"hots": "x"}}, "weir.toml: hots is not a setting; did you mean host?"),
        (
            {"file": {"spool": {"snyc": "x"}}},
            "weir.toml: spool.snyc is not a setting; did you mean spool.sync?",
        ),
        ({"file": {"spool": 3}}, "weir.toml: spool is not a setting"),
        ({"file": {"port": {"deep": 1}}}, "weir.toml: port.deep is not a setting; did you mean port?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(sources: dict[str, Any], message: str) -> None:
    assert refusal(**sources).startswith(message)


def test_a_password_in_an_address_is_not_repeated() -> None:
    assert "secret" not in refusal(environ={"WEIR_ELASTICSEARCH_URL": "http://elastic:secret@e"})


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"environ": {"WEIR_PORT": "many"}}, "WEIR_PORT should be a valid integer"),
        ({"flags": {"port": 99999}}, "--port should be less than or equal to 65535 (it is 99999)"),
        ({"file": {"spool": {"sync": "often"}}}, "weir.toml: spool.sync should be 'interval' or 'always'"),
        ({"file": {"plugin_modules": ["a", 1]}}, "weir.toml: plugin_modules should be a valid string"),
        ({"environ": {"WEIR_SHUTDOWN_GRACE": "inf"}}, "WEIR_SHUTDOWN_GRACE should be"),
        (
            {"environ": {"WEIR_ELASTICSEARCH_URL": "http://elastic:secret@e"}},
            "WEIR_ELASTICSEARCH_URL must begin with https:// or http:// and a host, without user",
        ),
        ({"file": {"elasticsearch_url": "x"}}, "weir.toml: elasticsearch_url must begin with https://"),
        ({"environ": {"WEIR_EDGE_NAMESPACE": "a b"}}, "WEIR_EDGE_NAMESPACE must begin with a letter"),
        ({"environ": {"WEIR_CONTROL_URL": "x"}}, "WEIR_CONTROL_URL must begin with https://"),
    ],
)
def test_a_bad_value_is_refused_with_the_name_its_source_gave_it(
    sources: dict[str, Any], message: str
) -> None:
    assert refusal(**sources).startswith(message)


def test_of_two_sources_the_one_that_won_is_named() -> None:
    told = refusal(file={"port": 1}, environ={"WEIR_PORT": "x"}, flags={})
    assert told.startswith("WEIR_PORT ")


@pytest.mark.parametrize(
    "name", ["WEIR_DATABASE_URL", "WEIR_EDGE_TOKEN", "WEIR_ADMIN_TOKEN", "WEIR_ENCRYPTION_KEYS"]
)
def test_a_secret_is_shown_neither_in_a_refusal_nor_in_the_settings(name: str) -> None:
    try:
        told = repr(made(environ={name: "postgresql://weir:hunter2@db/weir"}))
    except SettingsError as error:
        told = str(error)
    assert "hunter2" not in told


def test_every_setting_has_a_description_and_a_name_of_its_own_in_the_environment() -> None:
    names = list(setting_names())
    assert all(name.description for name in names)
    assert len({name.environment for name in names}) == len(names)


def test_what_children_get_makes_the_same_settings_without_the_secrets() -> None:
    settings = made(environ={"WEIR_ADMIN_TOKEN": "wt_x_y", "WEIR_SPOOL_SYNC": "always", "WEIR_PORT": "5"})
    plain = settings.without_secrets()
    assert "wt_x_y" not in str(plain)
    assert Settings.model_validate(plain) == settings.model_copy(update={"admin_token": None})


def test_weir_toml_of_the_working_directory_is_read_when_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(None, {}, {}).port == 3000
    (tmp_path / "weir.toml").write_text("port = 4000\n[spool]\nsync = 'always'\n")
    settings = load_settings(None, {}, {})
    assert (settings.port, settings.spool.sync) == (4000, "always")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read"), ("port = = 1", "is not valid TOML"), (b"\xff", "not valid")],
)
def test_a_file_that_was_named_must_be_readable(
    content: str | bytes | None, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError, match=message):
        load_settings(file, {}, {})
