"""The environment of a ``weir`` that a test starts."""

from __future__ import annotations

import os
from pathlib import Path


def weir_environment(**settings: str) -> dict[str, str]:
    """This process's own, with exactly these settings; their names without the prefix, in any case."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    return inherited | {f"WEIR_{name.upper()}": value for name, value in settings.items()}


def allowed_plugins(plugin_path: Path | None) -> dict[str, str]:
    """The settings that let every plugin of a directory be loaded where that has to be said."""
    if plugin_path is None:
        return {}
    modules = ",".join(sorted(file.stem for file in plugin_path.glob("*.py")))
    return {"plugin_modules": modules, "plugin_dirs": str(plugin_path)}
