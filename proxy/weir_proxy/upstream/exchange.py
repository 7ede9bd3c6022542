"""One answer as it comes in: filled by its connection, read by the call that waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from weir_proxy.errors import UpstreamError, UpstreamTooLargeError

_MOST_UNREAD_BYTES = 256 * 1024


class Exchange:
    """The call's end is ``head``, ``whole`` and ``read``; one of them waits at a time.

    Args:
        loop: The running loop.
        deadline: Loop time at which the exchange has taken too long.
        largest: Bytes of body that ``whole`` takes.
        streamed: The body is read in pieces, so the peer is held back while they are not read.
        bodiless: The answer has no body whatever its headers say (HEAD).
    """

    __slots__ = (
        "_ended",
        "_error",
        "_largest",
        "_loop",
        "_pieces",
        "_resume",
        "_size",
        "_streamed",
        "_waiter",
        "bodiless",
        "deadline",
        "headers",
        "heard_at",
        "status",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        deadline: float,
        largest: int,
        streamed: bool,
        bodiless: bool,
    ) -> None:
        self.deadline = deadline
        self.bodiless = bodiless
        self.heard_at = loop.time()
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self._loop = loop
        self._largest = largest
        self._streamed = streamed
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._resume: Callable[[], None] | None = None

    @property
    def ended(self) -> bool:
        """Whether the answer is whole, or will never be."""
        return self._ended

    @property
    def held_back(self) -> bool:
        """Whether the peer is kept from sending until what it sent is read."""
        return self._resume is not None

    def began(self, status: int, headers: list[tuple[str, str]]) -> None:
        """The head is here."""
        self.status, self.headers = status, headers
        if self._streamed:
            self._wake()

    def feed(self, piece: bytes, hold_back: Callable[[], Callable[[], None]]) -> None:
        """A piece of the body; ``hold_back`` stops the peer and returns how it goes on."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._streamed:
            if self._size > _MOST_UNREAD_BYTES and self._resume is None:
                self._resume = hold_back()
            self._wake()
        elif self._size > self._largest:
            self.fail(UpstreamTooLargeError(self._largest))

    def complete(self) -> None:
        """The answer is whole; its connection may serve another exchange by now."""
        self._ended, self._resume = True, None
        self._wake()

    def fail(self, error: UpstreamError) -> None:
        """The answer will never be whole; what of it is here can still be read."""
        if not self._ended:
            self._ended, self._error = True, error
            self._wake()

    async def head(self) -> None:
        """Wait for the status and the headers.

        Raises:
            UpstreamError: They will not come.
        """
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def whole(self) -> bytes:
        """Wait for the whole body.

        Raises:
            UpstreamError: It will not come.
        """
        while not self._ended:
            await self._wait()
        if self._error is not None:
            raise self._error
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    async def read(self) -> bytes | None:
        """Wait for what has come of the body since the last call; None at its end.

        Raises:
            UpstreamError: The body breaks off here.
        """
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            await self._wait()
        pieces, self._pieces, self._size = self._pieces, deque(), 0
        if self._resume is not None:
            resume, self._resume = self._resume, None
            self.heard_at = self._loop.time()
            resume()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
