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
HostFlag = Annotated[
    str | None, typer.Option("--host", help="Address to listen on with --port; 127.0.0.1 unless set.")
]
PortFlag = Annotated[
    int | None, typer.Option("--port", help="TCP port of /health, /ready and /metrics; none unless given.")
]
