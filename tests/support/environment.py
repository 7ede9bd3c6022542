"""The environment of a ``weir`` that a test starts."""

from __future__ import annotations

import os


def weir_environment(**settings: str) -> dict[str, str]:
    """This process's own, with exactly these settings; their names without the prefix, in any case."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    return inherited | {f"WEIR_{name.upper()}": value for name, value in settings.items()}
