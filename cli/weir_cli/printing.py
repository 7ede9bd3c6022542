"""Where commands print tables: as wide as the terminal, or as wide as they are."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console

_UNBOUNDED: Final = 10_000


def output() -> Console:
    """Standard output. Into a file or a pipe nothing is cut or folded, so that a program can read it."""
    return Console(width=None if sys.stdout.isatty() else _UNBOUNDED)
