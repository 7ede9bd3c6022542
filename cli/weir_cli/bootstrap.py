"""What a data directory needs before the first child starts: keys, tables, a first token."""

from __future__ import annotations

from weir_cli.data_dir import DataDir, write_private
from weir_cli.errors import DataDirError
from weir_core.secrets import KeyRing
from weir_core.settings import Settings


def database_url(settings: Settings, data_dir: DataDir) -> str:
    """The configured database, or SQLite in the data directory."""
    given = settings.database_url
    return f"sqlite:///{data_dir.database}" if given is None else given.get_secret_value()


def encryption_keys(settings: Settings, data_dir: DataDir) -> str:
    """The configured keys, or those of the data directory's own file, which is made on the first start.

    Raises:
        SettingsError: A key is not base64 or not 32 bytes long.
        DataDirError: The directory has a database but its key file is gone.
    """
    text = _keys_text(settings, data_dir)
    KeyRing.from_text(text)
    return text


def _keys_text(settings: Settings, data_dir: DataDir) -> str:
    if settings.encryption_keys is not None:
        return settings.encryption_keys.get_secret_value()
    file = data_dir.encryption_keys
    if file.exists():
        return file.read_text(encoding="ascii").strip()
    if data_dir.database.exists():
        # A new key would let Weir start and then fail to open every stored secret.
        raise DataDirError(
            f"{data_dir.database} exists but {file} is missing; put the file back, "
            "or give the keys in WEIR_ENCRYPTION_KEYS"
        )
    text = KeyRing.generate_key()
    write_private(file, f"{text}\n".encode())
    return text
