"""The data directory's key file through a rotation: which keys there are, and how far it has come.

Each step replaces one file in one step, so that whoever is killed leaves either the old or the new state. A
note beside the file names the key that is being brought in, by its fingerprint.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from weir_cli.data_dir import write_private
from weir_cli.errors import KeyRotationError
from weir_core.secrets import KeyRing


class Stage(StrEnum):
    """How far a rotation has come."""

    SETTLED = "settled"
    """None is under way."""
    ADDED = "added"
    """Every process that starts can open what the new key seals; none seals with it."""
    PROMOTED = "promoted"
    """Every process that starts seals with the new key; the old ones still open."""


class KeyFile:
    """``encryption-keys`` of a data directory. All methods block for the disk.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._note = path.with_name(f"{path.name}.rotation")

    @property
    def keys(self) -> list[str]:
        """The keys, the one that seals first.

        Raises:
            KeyRotationError: There is no file.
        """
        try:
            return split_keys(self.path.read_text(encoding="ascii"))
        except FileNotFoundError as error:
            raise KeyRotationError(f"there is no {self.path}; start weir serve first") from error

    @property
    def stage(self) -> Stage:
        """Read off the file and the note."""
        keys = self.keys
        new = self._note.read_text(encoding="ascii").strip() if self._note.exists() else ""
        known = [fingerprint(key) for key in keys]
        if new not in known or len(keys) == 1:
            return Stage.SETTLED
        return Stage.PROMOTED if known[0] == new else Stage.ADDED

    def add(self) -> str:
        """Make a new key known without using it; return its fingerprint. Nothing while one is under way."""
        if self.stage is not Stage.SETTLED:
            raise KeyRotationError("a rotation is under way already; weir keys rotate says what comes next")
        key = KeyRing.generate_key()
        write_private(self._note, f"{fingerprint(key)}\n".encode())
        self._write([*self.keys, key])
        return fingerprint(key)

    def promote(self) -> None:
        """Let the new key seal from the next start on."""
        if self.stage is Stage.ADDED:
            *old, new = self.keys
            self._write([new, *old])

    def retire(self) -> None:
        """Forget all keys but the one that seals."""
        self._write(self.keys[:1])
        self._note.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other rotations away.

        Raises:
            KeyRotationError: One runs now.
        """
        fd = os.open(
            self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise KeyRotationError("another weir keys rotate runs now; wait for it") from error
            yield
        finally:
            os.close(fd)

    def _write(self, keys: list[str]) -> None:
        write_private(self.path, f"{','.join(keys)}\n".encode())


def split_keys(text: str) -> list[str]:
    """The keys of a list as settings and the file hold it."""
    return [key for key in (part.strip() for part in text.split(",")) if key]


def fingerprint(key: str) -> str:
    """What names a key without telling anything of it."""
    return KeyRing.from_text(key).fingerprints[0].hex()
