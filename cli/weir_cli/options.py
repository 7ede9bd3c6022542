"""Flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file; weir.toml here, if there is one."),
]
DataDirFlag = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Data directory; ./weir-data unless set.")
]
