"""Configuration revisions from control to every other role: sealed, whole, the newest only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from urllib.parse import quote

import msgspec

from weir_core.errors import SecretError
from weir_core.secrets import KeyRing, fingerprint_of
from weir_core.snapshot import Snapshot
from weir_streams.durable import replace_file
from weir_streams.reports import Logger

_LOOK_EVERY_S: Final = 0.1
_SUFFIX: Final = ".snapshot"
_NO_NAMESPACE: Final = "_"


class ConfigFeed(Protocol):
    """How a closed revision travels. A reader sees a revision whole or not at all.

    ``reason`` says why what was published last cannot be read; it is empty when it can.
    """

    reason: str

    def publish(self, snapshot: Snapshot) -> None:
        """Make ``snapshot`` the newest revision, durably, for every namespace. Blocks."""
        ...

    def current(self, namespace: str = "") -> Snapshot | None:
        """The newest revision that can be read, as this namespace may see it; None when there is none."""
        ...

    async def wait_newer(self, revision: int, namespace: str = "") -> Snapshot:
        """Wait for a revision above ``revision`` and return it."""
        ...


_Stamp = tuple[str, int, int, int]


class _Seen(NamedTuple):
    """What a file looked like when it was last read, and the last good revision."""

    stamp: _Stamp | None
    snapshot: Snapshot | None


class FileConfigFeed:
    """One sealed file per namespace in a directory.

    Args:
        directory: Made at the first ``publish``; readers tolerate its absence.
        keyring: Seals and opens the files.
        logger: Told when a file cannot be read; the last good revision stays in force.
    """

    def __init__(self, directory: Path, keyring: KeyRing, logger: Logger) -> None:
        self.reason = ""
        self._directory = directory
        self._keyring = keyring
        self._logger = logger
        self._seen: dict[str, _Seen] = {}

    def publish(self, snapshot: Snapshot) -> None:
        """Seal and replace the file of every namespace that an object or an earlier revision names. Blocks.

        Raises:
            OSError: The disk refused; a file is either the old or the new revision.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        namespaces = {getattr(item, "namespace", "") for item in snapshot.objects} | {""}
        wanted = {_file_name(namespace): namespace for namespace in sorted(namespaces)}
        for name, namespace in wanted.items():
            plain = snapshot.for_namespace(namespace).encode()
            replace_file(self._directory / name, self._keyring.seal(plain, _context(name)))
        for path in self._directory.glob(f"*{_SUFFIX}"):
            if path.name not in wanted:
                # Its last object is gone; its readers see what has no namespace, as they would have.
                path.unlink()

    def current(self, namespace: str = "") -> Snapshot | None:
        """The newest revision that could be read; None when there never was one.

        A damaged file changes nothing but ``reason`` and the log. Blocks for a file read when it changed.
        """
        name, stamp = self._look(namespace)
        seen = self._seen.get(namespace)
        if seen is None or stamp != seen.stamp:
            snapshot = self._read(name) if stamp is not None else None
            seen = _Seen(stamp, snapshot or (seen.snapshot if seen is not None else None))
            self._seen[namespace] = seen
        return seen.snapshot

    async def wait_newer(self, revision: int, namespace: str = "") -> Snapshot:
        """Wait for a revision above ``revision``; looks at the file ten times a second."""
        while True:
            seen = self._seen.get(namespace)
            if seen is None or seen.stamp != self._look(namespace)[1]:
                await asyncio.to_thread(self.current, namespace)
                seen = self._seen[namespace]
            if seen.snapshot is not None and seen.snapshot.revision > revision:
                return seen.snapshot
            await asyncio.sleep(_LOOK_EVERY_S)

    def _look(self, namespace: str) -> tuple[str, _Stamp | None]:
        """The file that holds what this namespace sees, and what it looks like now."""
        for name in (_file_name(namespace), _file_name("")):
            try:
                status = (self._directory / name).stat()
            except FileNotFoundError:
                continue
            return name, (name, status.st_mtime_ns, status.st_size, status.st_ino)
        return _file_name(""), None

    def _read(self, name: str) -> Snapshot | None:
        path = self._directory / name
        try:
            snapshot = Snapshot.decode(self._keyring.open(path.read_bytes(), _context(name)))
        except (OSError, ValueError, SecretError, msgspec.DecodeError) as error:
            self.reason = f"{path} cannot be read: {error}"
        else:
            self.reason = ""
            return snapshot
        self._logger.error("configuration unreadable, the last one stays in force", reason=self.reason)
        return None


def reseal_files(directory: Path, keyring: KeyRing) -> None:
    """Seal each published file anew with the newest key, as it is. Blocks; nobody may publish meanwhile.

    Raises:
        OSError: The disk refused; a file is either the old or the new one.
        SecretError: No key at hand opens a file.
    """
    for path in sorted(directory.glob(f"*{_SUFFIX}")):
        sealed = path.read_bytes()
        if fingerprint_of(sealed) != keyring.fingerprints[0]:
            context = _context(path.name)
            replace_file(path, keyring.seal(keyring.open(sealed, context), context))


def _file_name(namespace: str) -> str:
    if not namespace:
        return _NO_NAMESPACE + _SUFFIX
    # A namespace called "_" must not meet the one without a name.
    return (quote(namespace, safe="") if namespace != _NO_NAMESPACE else "%5F") + _SUFFIX


def _context(name: str) -> bytes:
    return b"weir configuration " + name.encode()
