"""What of a stream has gone to the client, as far as somebody will ask for it."""

from __future__ import annotations

import hashlib


class Released:
    """The beginning of a stream's bytes, and the hash of all of them once there are more than are kept.

    Args:
        keep: Bytes; kept are whole pieces until there are more than so many.
    """

    __slots__ = ("_hash", "_keep", "_kept", "size")

    def __init__(self, keep: int) -> None:
        self.size = 0
        self._keep = keep
        self._kept: list[bytes] = []
        self._hash: hashlib._Hash | None = None

    def add(self, piece: bytes) -> None:
        """More has gone out."""
        if self._hash is not None:
            self._hash.update(piece)
        elif piece:
            self._kept.append(piece)
            if self.size + len(piece) > self._keep:
                self._hash = hashlib.sha256(b"".join(self._kept))
        self.size += len(piece)

    def beginning(self, size: int) -> tuple[bytes, str | None]:
        """At least the first ``size`` bytes, if there are so many and they are kept; whole pieces.

        With it the SHA-256 of the whole in hexadecimal, or None when the beginning is the whole.
        """
        taken: list[bytes] = []
        length = 0
        for piece in self._kept:
            if length >= size:
                break
            taken.append(piece)
            length += len(piece)
        if length == self.size:
            return b"".join(taken), None
        digest = self._hash if self._hash is not None else hashlib.sha256(b"".join(self._kept))
        return b"".join(taken), digest.hexdigest()
