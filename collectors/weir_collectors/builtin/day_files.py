"""Files of JSON lines, one for each kind and day, that rotate by size. Everything here blocks."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

_LOCK: Final = ".lock"
_SUFFIX: Final = ".jsonl"
_MODE: Final = 0o600
_TAIL_BYTES: Final = 64 * 1024
_MOST_OPEN: Final = 16


class DayFiles:
    """A directory of files that are only appended to. For one thread at a time.

    A name is ``<kind>-<day>.jsonl``; when the next line would make a file larger than ``max_bytes``, it goes
    on in ``<kind>-<day>.1.jsonl`` and so on. A line is never split over two files.

    Args:
        directory: Made when absent. Several may write to it, in several processes: a plugin's new form starts
            before its old one ends, and a trial start comes beside both. A lock keeps them apart.
        max_bytes: Size from which a file is left; a single longer line still gets a file.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._open: dict[str, _DayFile] = {}
        self._lock: int | None = None

    def repair(self) -> list[Path]:
        """Cut torn last lines off every file, as a crash leaves them; return the files that had one.

        Raises:
            OSError: The directory cannot be made or written.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            return [path for path in sorted(self._directory.glob(f"*{_SUFFIX}")) if _cut_torn_line(path)]

    def append(self, lines: Mapping[str, Sequence[bytes]]) -> None:
        """Append lines, each ending in a newline, to the files of their names (``<kind>-<day>``).

        Raises:
            OSError: The disk refused; some of the lines may have been written, and no half line stays.
        """
        with self._locked():
            for name, some in lines.items():
                self._file(name).append(some)

    def sync(self) -> None:
        """Wait until everything appended is on the platter.

        Raises:
            OSError: The disk refused.
        """
        for file in self._open.values():
            file.sync()

    def close(self) -> None:
        """Close all files."""
        for file in self._open.values():
            file.close()
        self._open.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._lock is None:
            self._lock = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _file(self, name: str) -> _DayFile:
        file = self._open.pop(name, None)
        if file is None:
            if len(self._open) >= _MOST_OPEN:
                oldest = next(iter(self._open))
                self._open[oldest].sync()
                self._open.pop(oldest).close()
            file = _DayFile(self._directory, name, self._max_bytes)
        # The file used last stands last, so that the first is the one to close.
        self._open[name] = file
        return file


class _DayFile:
    """One day's file of one kind, and those after it."""

    def __init__(self, directory: Path, name: str, max_bytes: int) -> None:
        self._directory = directory
        self._name = name
        self._max_bytes = max_bytes
        self._number = self._last_number()
        self._unsynced = False
        self._fd, self._size = self._open()

    def append(self, lines: Sequence[bytes]) -> None:
        # Somebody else may have written since.
        self._size = os.fstat(self._fd).st_size
        start = 0
        while start < len(lines):
            end, size = self._that_fit(lines, start)
            self._write(b"".join(lines[start:end]), size)
            start = end

    def sync(self) -> None:
        if self._unsynced:
            os.fsync(self._fd)
            self._unsynced = False

    def close(self) -> None:
        os.close(self._fd)

    def _that_fit(self, lines: Sequence[bytes], start: int) -> tuple[int, int]:
        """The end of the lines that this file takes and their size; a full file is left first."""
        while self._size and self._size + len(lines[start]) > self._max_bytes:
            self._rotate()
        end, size = start + 1, len(lines[start])
        while end < len(lines) and self._size + size + len(lines[end]) <= self._max_bytes:
            size += len(lines[end])
            end += 1
        return end, size

    def _write(self, data: bytes, size: int) -> None:
        written = 0
        self._unsynced = True
        try:
            while written < size:
                written += os.write(self._fd, data[written:])
        except OSError:
            # What was written of the lines comes again; without this, half a line would stand before it.
            os.ftruncate(self._fd, self._size)
            raise
        self._size += size

    def _rotate(self) -> None:
        self.sync()
        os.close(self._fd)
        self._number += 1
        self._fd, self._size = self._open()

    def _open(self) -> tuple[int, int]:
        number = f".{self._number}" if self._number else ""
        path = self._directory / f"{self._name}{number}{_SUFFIX}"
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        size = os.fstat(fd).st_size
        if size == 0:
            _sync_directory(self._directory)
        return fd, size

    def _last_number(self) -> int:
        names = (path.name.removesuffix(_SUFFIX) for path in self._directory.glob(f"{self._name}.*{_SUFFIX}"))
        numbers = (name.removeprefix(f"{self._name}.") for name in names)
        return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _cut_torn_line(path: Path) -> bool:
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        keep = end
        while keep > 0:
            start = max(0, keep - _TAIL_BYTES)
            file.seek(start)
            newline = file.read(keep - start).rfind(b"\n")
            keep = start + newline + 1 if newline >= 0 else start
            if newline >= 0:
                break
        if keep == end:
            return False
        file.truncate(keep)
        os.fsync(file.fileno())
        return True


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
