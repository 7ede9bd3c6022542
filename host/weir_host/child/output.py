"""What a plugin prints: read for as long as it lives, in lines, with bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import IO, Final, cast

_LONGEST_LINE: Final = 64 * 1024
_CUT: Final = " ... (cut)"
_BURST_BYTES: Final = 1024 * 1024
_BREATHER_S: Final = 0.1

OnLine = Callable[[str], None]


class Lines:
    """Makes lines of pieces that are cut anywhere. The end of a line beyond 64 KiB is dropped."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._begun = bytearray()

    def feed(self, piece: bytes) -> None:
        """Take the next piece, and hand out the lines that it ends."""
        *ended, rest = piece.split(b"\n")
        for part in ended:
            self._append(part)
            self._hand_out()
        self._append(rest)

    def end(self) -> None:
        """Hand out a last line that has no end."""
        if self._begun:
            self._hand_out()

    def _append(self, part: bytes) -> None:
        room = _LONGEST_LINE + 1 - len(self._begun)
        self._begun += part[:room]

    def _hand_out(self) -> None:
        text = self._begun[:_LONGEST_LINE].decode(errors="replace").rstrip("\r")
        if len(self._begun) > _LONGEST_LINE:
            text += _CUT
        self._begun.clear()
        self._on_line(text)


class PipeReader(asyncio.Protocol):
    """Reads a pipe to its end.

    A plugin that prints more than ten megabytes a second waits for us rather than the gateway for it.
    """

    def __init__(self, on_line: OnLine) -> None:
        self.ended = asyncio.Event()
        self._lines = Lines(on_line)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.ReadTransport | None = None
        self._taken = 0
        self._rested_at = self._loop.time()

    @classmethod
    async def read(cls, pipe: IO[bytes], on_line: OnLine) -> PipeReader:
        """Begin to read; the pipe is closed at its end, or by ``close``."""
        _, reader = await asyncio.get_running_loop().connect_read_pipe(lambda: cls(on_line), pipe)
        return reader

    def close(self) -> None:
        """Stop reading."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        # uvloop's transports derive from none of asyncio's.
        self._transport = cast(asyncio.ReadTransport, transport)

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        self._lines.feed(data)
        self._taken += len(data)
        if self._taken >= _BURST_BYTES:
            self._rest()

    def connection_lost(self, _: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._lines.end()
        self._transport = None
        self.ended.set()

    def _rest(self) -> None:
        """Let the pipe wait until the bytes taken since the last rest fit the time since then."""
        self._taken = 0
        now = self._loop.time()
        pause = self._rested_at + _BREATHER_S - now
        self._rested_at = max(now, self._rested_at + _BREATHER_S)
        if pause > 0 and self._transport is not None:
            self._transport.pause_reading()
            self._loop.call_later(pause, self._go_on)

    def _go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
