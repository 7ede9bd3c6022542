"""What a data directory needs before the first child starts: keys, tables, a first token."""

from __future__ import annotations

from weir_cli.data_dir import DataDir, write_private
from weir_cli.errors import DataDirError
from weir_control.migrations import require_current, upgrade
from weir_core.errors import SettingsError
from weir_core.secrets import KeyRing
from weir_core.settings import Settings


def database_url(settings: Settings, data_dir: DataDir) -> str:
    """The configured database, or SQLite in the data directory."""
    given = settings.database_url
    return f"sqlite:///{data_dir.database}" if given is None else given.get_secret_value()


def is_embedded(settings: Settings) -> bool:
    """Whether the database belongs to this machine's gateway alone, which then sees to its tables itself."""
    given = settings.database_url
    return given is None or given.get_secret_value().startswith("sqlite")


def confined(settings: Settings) -> Settings:
    """The settings where others share the configuration: plugins come only from where a setting says.

    On the embedded default whoever writes the configuration owns this machine anyway. Elsewhere a token of
    the management API must not be enough to run any program here. What comes with Weir may always run.
    """
    allowed = {
        "plugin_modules": settings.plugin_modules or (),
        "plugin_dirs": settings.plugin_dirs or (),
    }
    return settings.model_copy(update=allowed)


async def prepare_database(settings: Settings, data_dir: DataDir) -> None:
    """Bring the tables up to date in embedded mode; elsewhere see to it that somebody has done so.

    A database that several gateways share is upgraded when its admin says so, with ``weir db upgrade``:
    gateways of the version before may still be at work on it.

    Raises:
        SchemaError: The tables are not this version's.
        StoreUnavailableError: The database cannot be reached or written.
    """
    prepare = upgrade if is_embedded(settings) else require_current
    await prepare(database_url(settings, data_dir))


def encryption_keys(settings: Settings, data_dir: DataDir) -> str:
    """The configured keys, or those of the data directory's own file, which is made on the first start.

    Raises:
        SettingsError: A key is not base64 or not 32 bytes long, or none is given for a shared database.
        DataDirError: The directory has a database but its key file is gone.
    """
    text = _keys_text(settings, data_dir)
    KeyRing.from_text(text)
    return text


def given_keys(settings: Settings, command: str) -> str:
    """The configured keys, for a role that shares sealed values with other machines.

    Raises:
        SettingsError: None are given, or a key is not base64 or not 32 bytes long.
    """
    if settings.encryption_keys is None:
        raise SettingsError(
            f"WEIR_ENCRYPTION_KEYS is not set, and {command} needs the same keys as the roles on other "
            "machines; make one with: openssl rand -base64 32"
        )
    text = settings.encryption_keys.get_secret_value()
    KeyRing.from_text(text)
    return text


def _keys_text(settings: Settings, data_dir: DataDir) -> str:
    if settings.encryption_keys is not None:
        return settings.encryption_keys.get_secret_value()
    file = data_dir.encryption_keys
    if file.exists():
        return file.read_text(encoding="ascii").strip()
    if not is_embedded(settings):
        # Every gateway on this database must open what the others have sealed.
        raise SettingsError(
            "WEIR_ENCRYPTION_KEYS is not set, and a Postgres needs the same keys in every gateway that uses "
            "it; make one with: openssl rand -base64 32"
        )
    if data_dir.database.exists():
        # A new key would let Weir start and then fail to open every stored secret.
        raise DataDirError(
            f"{data_dir.database} exists but {file} is missing; put the file back, "
            "or give the keys in WEIR_ENCRYPTION_KEYS"
        )
    text = KeyRing.generate_key()
    write_private(file, f"{text}\n".encode())
    return text
