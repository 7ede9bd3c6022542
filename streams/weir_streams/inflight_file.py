"""The in-flight table's file: its header, and how it comes into being."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final
from zlib import crc32

from weir_streams.durable import allocate
from weir_streams.errors import SpoolFormatError

SLOT_BYTES: Final = 1024
TABLE_HEADER_BYTES: Final = 4096

_MAGIC: Final = b"\x89WEIRINF"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sHHII")


def create_table(path: Path, slots: int) -> None:
    """Make an empty table under another name first, so that a kill never leaves half of one."""
    fresh = path.with_suffix(".new")
    fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        # A hole in a mapped file turns a full disk into SIGBUS; allocated blocks cannot run out.
        allocate(fd, TABLE_HEADER_BYTES + slots * SLOT_BYTES)
        os.pwrite(fd, _header(slots), 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.rename(path)


def slots_of(fd: int, path: Path) -> int:
    """How many slots an open table has.

    Raises:
        SpoolFormatError: It is not a table of this version.
    """
    header = os.pread(fd, _HEADER.size, 0)
    size = os.fstat(fd).st_size
    if len(header) == _HEADER.size:
        slots: int = _HEADER.unpack(header)[3]
        if header == _header(slots) and size >= TABLE_HEADER_BYTES + slots * SLOT_BYTES:
            return slots
    raise SpoolFormatError(f"{path} is not an in-flight table of version {_VERSION}; its header is damaged")


def _header(slots: int) -> bytes:
    checksum = crc32(_HEADER.pack(_MAGIC, _VERSION, SLOT_BYTES, slots, 0))
    return _HEADER.pack(_MAGIC, _VERSION, SLOT_BYTES, slots, checksum)
