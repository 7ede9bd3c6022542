"""Undoing an answer's content encoding, so that its usage can be read."""

from __future__ import annotations

import zlib
from typing import Final

_MAX_PLAIN_BYTES: Final = 64 * 1024 * 1024


def decoded(body: bytes, encoding: str) -> bytes | None:
    """Undo gzip or deflate; None when that cannot be done safely.

    Bounded at 64 MiB, so that a small answer cannot fill the memory.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return None
    plain = b""
    while body:
        inflater = zlib.decompressobj(wbits=47)
        try:
            plain += inflater.decompress(body, _MAX_PLAIN_BYTES - len(plain) + 1)
        except zlib.error:
            return None
        if not inflater.eof or len(plain) > _MAX_PLAIN_BYTES:
            return None
        body = inflater.unused_data
    return plain
