"""What ``weir doctor`` finds: one line each, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from weir_cli.data_dir import DataDir
from weir_core.clock import Clock
from weir_core.settings import Settings

HOUR_US: Final = 3600 * 1_000_000
_UNITS: Final = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


class Level(StrEnum):
    """``wrong`` makes the command exit 1; ``note`` is worth knowing and may be as it is wanted."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True):
    """One fact about one area; ``fix`` says what to do where something is wrong."""

    area: str
    level: Level
    what: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """The installation that is looked at. Nothing in it is made or changed."""

    settings: Settings
    data_dir: DataDir
    clock: Clock

    @property
    def spools(self) -> Path:
        """Where the spool directories are."""
        return self.data_dir.spool


def ok(area: str, what: str) -> Finding:
    """Something is as it should be."""
    return Finding(area, Level.OK, what)


def note(area: str, what: str, fix: str = "") -> Finding:
    """Something that is worth a look."""
    return Finding(area, Level.NOTE, what, fix)


def wrong(area: str, what: str, fix: str) -> Finding:
    """Something that must be mended, and how."""
    return Finding(area, Level.WRONG, what, fix)


def is_ill(findings: Iterable[Finding]) -> bool:
    """Whether anything is wrong."""
    return any(finding.level is Level.WRONG for finding in findings)


def in_bytes(size: float) -> str:
    """A size as people read it."""
    for factor, unit in _UNITS:
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{round(size)} bytes"


def in_time(seconds: float) -> str:
    """A duration as people read it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
