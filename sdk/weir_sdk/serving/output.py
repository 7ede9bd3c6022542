"""What a plugin prints once its standard output belongs to the handshake."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from weir_proto.go_plugin_pb2 import StdioData

_PIECE: Final = 16 * 1024
_KEPT: Final = 256 * 1024


class Output:
    """Standard output of the whole process, child processes included, on its way to ``GRPCStdio``.

    Printing never blocks for want of a reader: a thread empties the pipe, and the oldest of more than 256 KiB
    that nobody has read is dropped.
    """

    def __init__(self) -> None:
        reader, writer = os.pipe()
        self._handshake = os.dup(1)
        os.dup2(writer, 1)
        os.close(writer)
        if sys.stdout is not None:
            # A script may have printed before; unless it flushed, that is still here and goes into the pipe.
            sys.stdout.flush()
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a TextIOWrapper
        self._pieces: deque[bytes] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived = asyncio.Event()
        self._ended = False
        threading.Thread(target=self._drain, args=(reader,), name="weir-stdout", daemon=True).start()

    def say(self, line: bytes) -> bool:
        """Write the handshake to what was standard output; false when nobody is there to read it."""
        try:
            return os.write(self._handshake, line) == len(line)
        except OSError:
            return False

    async def read(self, _: object = None) -> AsyncIterator[StdioData]:
        """What is printed, in pieces, until ``end``."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._arrived.clear()
            while (piece := self._take()) is not None:
                yield StdioData(channel=StdioData.STDOUT, data=piece)
            if self._ended:
                return
            await self._arrived.wait()

    def end(self) -> None:
        """Let who reads have what is there, and no more. For the thread of the loop."""
        self._ended = True
        self._arrived.set()

    def _drain(self, reader: int) -> None:
        while piece := os.read(reader, _PIECE):
            with self._lock:
                self._pieces.append(piece)
                self._bytes += len(piece)
                while self._bytes > _KEPT:
                    self._bytes -= len(self._pieces.popleft())
            self._wake()

    def _wake(self) -> None:
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._arrived.set)
            except RuntimeError:  # the loop has closed: the process is ending
                self._loop = None

    def _take(self) -> bytes | None:
        with self._lock:
            if not self._pieces:
                return None
            piece = self._pieces.popleft()
            self._bytes -= len(piece)
            return piece
