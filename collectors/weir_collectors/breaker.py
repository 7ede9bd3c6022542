"""When to stop asking a sink that is away, and when to ask again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec

from weir_collectors.backoff import Backoff
from weir_collectors.errors import CollectorNotReadyError
from weir_host.errors import PluginNotReadyError, PluginTimeoutError

BreakerState = Literal["closed", "open", "probing"]

_AWAY: Final = (CollectorNotReadyError, PluginNotReadyError, PluginTimeoutError)
_CONNECTION: Final = (ConnectionError, TimeoutError, socket.gaierror)


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When a breaker opens and how often it probes; the defaults are for production.

    ``failures`` is how many calls in a row must have found the sink away.
    """

    failures: int = 5
    probing: Backoff = Backoff(first_s=1.0, longest_s=30.0)


class Breaker:
    """Book-keeping for one sink: closed while it answers, open while it is away, probing now and then.

    Belongs to one event loop.

    Args:
        monotonic: Seconds; says when the next probe is due.
        on_change: Called after it opened (with the reason) and after it closed (with an empty text).
    """

    def __init__(
        self,
        settings: BreakerSettings,
        monotonic: Callable[[], float],
        on_change: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self.state: BreakerState = "closed"
        self.reason = ""
        self.unquoted = ""
        self._settings = settings
        self._monotonic = monotonic
        self._on_change = on_change
        self._failures = 0
        self._probes = 0
        self._probe_at = 0.0
        self._changed = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether the sink may be asked freely."""
        return self.state == "closed"

    def failed(self, reason: str, unquoted: str | None = None) -> None:
        """A call found the sink away; ``unquoted`` is the reason without a plugin's words, if it has any."""
        self._failures += 1
        own = reason if unquoted is None else unquoted
        if self.state == "probing":
            self._open_again(reason, own)
        elif self.state == "closed" and self._failures >= self._settings.failures:
            self._open_again(reason, own)
            self._on_change(reason)

    def succeeded(self) -> None:
        """A call got an answer, whatever it says."""
        self._failures = 0
        if self.state != "closed":
            self.state, self.reason, self.unquoted, self._probes = "closed", "", "", 0
            self.wake()
            self._on_change("")

    def take_probe(self) -> bool:
        """Whether the caller is to try the sink now, the only one to do so; it calls ``end_probe`` after."""
        if self.state != "open" or self._monotonic() < self._probe_at:
            return False
        self.state = "probing"
        return True

    def end_probe(self) -> None:
        """Open again unless the probe's call has settled it: it told nothing about the sink."""
        if self.state == "probing":
            self._open_again(self.reason, self.unquoted)

    def wake(self) -> None:
        """End every ``until_changed``."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until_changed(self) -> None:
        """Wait until it closes, until a probe is due, or until somebody wakes it."""
        due_s = max(self._probe_at - self._monotonic(), 0.0) if self.state == "open" else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(due_s):
                await self._changed.wait()

    def _open_again(self, reason: str, unquoted: str) -> None:
        self.state, self.reason, self.unquoted = "open", reason, unquoted
        self._probes += 1
        self._probe_at = self._monotonic() + self._settings.probing.after(self._probes)
        self.wake()


def finds_sink_away(error: BaseException) -> bool:
    """Whether an error says that the sink, or the plugin before it, is away.

    That is: not ready, timed out, or one of Python's own connection errors anywhere in its causes. A refusal
    of an event does not say so, nor does an error that calls itself permanent.
    """
    if not getattr(error, "retryable", True):
        return False
    return isinstance(error, _AWAY) or any(isinstance(cause, _CONNECTION) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
