"""Where settings are read from: ``weir.toml``, the environment, flags."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from weir_core.errors import SettingsError
from weir_core.settings import Settings
from weir_core.settings_sources import resolve

_DEFAULT_FILE: Final = Path("weir.toml")


def load_settings(
    config: Path | None, flags: Mapping[str, object], environ: Mapping[str, str] | None = None
) -> Settings:
    """Read and merge all sources.

    Args:
        config: The file to read; None means ``weir.toml`` in the working directory, where there is one.
        flags: Dotted setting names to values, None where a flag was not given.
        environ: This process's environment when None.

    Raises:
        SettingsError: The file cannot be read, or a setting is unknown or out of range.
    """
    return resolve(
        file=settings_file(config),
        environ=os.environ if environ is None else environ,
        flags=flags,
        file_name=str(config or _DEFAULT_FILE),
    )


def settings_file(config: Path | None) -> dict[str, Any]:
    """The parsed settings file; empty where none is named and there is no ``weir.toml``.

    Raises:
        SettingsError: It cannot be read.
    """
    file = _DEFAULT_FILE if config is None else config
    return _read(file) if config is not None or file.exists() else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
