"""The durable record of what the mock upstream was asked.

A call's line is in the file before the first byte of its answer leaves, written by one ``write`` to a file
opened for appending, so that a killed process has answered nothing that is not in the ledger.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from weir_core.usage import Usage

CREDENTIAL_HEADERS: Final = frozenset({"authorization", "x-api-key", "x-goog-api-key", "api-key"})


class LedgerCall(msgspec.Struct, frozen=True, kw_only=True, tag="call"):
    """One call as it arrived, and the answer it was about to get.

    ``id`` is the answer's own (``chatcmpl-...``, ``msg_...``; an answer whose shape has no id carries only
    ``upstream_request_id``, in its request id header). ``headers`` has lower-case names and no credentials;
    ``credentials`` maps where one was found to its SHA-256. ``usage`` is what the whole answer reports,
    None for none; an answer that is cut may not get that far.
    """

    id: str
    upstream_request_id: str
    time_us: int
    vendor: str
    operation: str
    method: str
    path: str
    query: str
    model: str | None
    stream: bool
    body_bytes: int
    body_sha256: str
    headers: dict[str, str]
    credentials: dict[str, str]
    status: int
    usage: Usage | None


class Ending(msgspec.Struct, frozen=True, kw_only=True, tag="ending"):
    """How a call's answer ended; missing when the process was killed first.

    ``sent`` counts server-sent events, or 1 for a body. It is what was handed to the socket.
    """

    id: str
    outcome: Literal["completed", "cut", "client_gone"]
    sent: int


_Line = LedgerCall | Ending


class Ledger:
    """Appends lines to one file. Several processes may share it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._encoder = msgspec.json.Encoder()
        self._close_torn_line()

    def append(self, line: _Line) -> None:
        """Write one line, blocking; when it returns, the line survives the death of this process."""
        data = self._encoder.encode(line) + b"\n"
        while data:
            data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _close_torn_line(self) -> None:
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")


def read_ledger(path: Path) -> list[LedgerCall]:
    """Every call in the ledger, in order of arrival. A file that is not there yet is an empty ledger."""
    return [line for line in _read(path) if isinstance(line, LedgerCall)]


def read_endings(path: Path) -> dict[str, Ending]:
    """How the calls ended, by id."""
    return {line.id: line for line in _read(path) if isinstance(line, Ending)}


def masked(headers: Mapping[str, str], query: Mapping[str, str]) -> dict[str, str]:
    """Where credentials were found, and the SHA-256 of each (of the token alone, without ``Bearer``)."""
    found = {name: secret_sha256(headers[name]) for name in CREDENTIAL_HEADERS if name in headers}
    if "key" in query:
        found["?key"] = secret_sha256(query["key"])
    return found


def secret_sha256(secret: str) -> str:
    """The hash under which a ledger shows a credential; ``Bearer`` in front is ignored."""
    scheme, _, token = secret.partition(" ")
    plain = token.strip() if scheme.lower() == "bearer" else secret
    return hashlib.sha256(plain.encode()).hexdigest()


def _read(path: Path) -> Iterator[_Line]:
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Line)
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for line in lines:
        if not line:
            continue
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError:
            # A line torn by a kill; its call had no answer yet, so nothing can be joined to it.
            continue
