"""Coroutine handlers: each under a task identity of its own, without a task for those that never wait."""

from __future__ import annotations

import asyncio
from asyncio import _enter_task, _leave_task  # public hooks for task implementations since Python 3.12
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any

from weir_host.invoke import Started
from weir_sdk.errors import HandlerQuitError
from weir_sdk.inflight import InFlight


class HandlerTasks:
    """Runs coroutine handlers on behalf of callers who may leave at any moment.

    A handler that ends without waiting is stepped by hand in its caller's turn. It runs under the identity of
    a spare task all the same: timeouts, task groups and the libraries built on them note the current task
    before their first wait, and would cancel the caller's task later if they met that. A handler that does
    wait is handed over to that spare task, with the context it started in.

    When the caller is cancelled, its call ends at once. The handler is cancelled too and has
    ``cancel_grace_s`` seconds to clean up; then it is closed where it waits.
    """

    def __init__(self, inflight: InFlight, *, cancel_grace_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._inflight = inflight
        self._cancel_grace_s = cancel_grace_s
        self._spare: _Seat | None = None

    async def run(self, handler: Coroutine[Any, Any, object]) -> object:
        """Run a handler to its end and return what it returned; raise what it raised.

        Raises:
            HandlerQuitError: The handler exited or cancelled itself.
        """
        seat = self._spare
        if seat is None or not seat.fits(copy_context()):
            seat = self._new_spare()
        loop, task = self._loop, seat.task
        caller = asyncio.current_task(loop)
        assert caller is not None
        _leave_task(loop, caller)
        _enter_task(loop, task)
        try:
            waits_for = seat.context.run(handler.send, None)
        except StopIteration as finished:
            return finished.value
        except asyncio.CancelledError as error:
            # Nobody can have cancelled the caller meanwhile, and it must not look as if somebody had.
            raise HandlerQuitError("it was cancelled from within") from error
        finally:
            _leave_task(loop, task)
            _enter_task(loop, caller)
        self._spare = None
        return await self._wait_for(seat, handler, waits_for)

    def close(self) -> None:
        """Let go of the spare task; handlers at work go on to their own ends."""
        if self._spare is not None:
            self._spare.task.cancel()
            self._spare = None

    def _new_spare(self) -> _Seat:
        self.close()
        self._spare = _Seat(self._loop)
        return self._spare

    async def _wait_for(self, seat: _Seat, handler: Coroutine[Any, Any, object], waits_for: object) -> object:
        outcome: asyncio.Future[object] = self._loop.create_future()
        self._inflight.began()
        seat.take(handler, waits_for)
        seat.task.add_done_callback(lambda task: self._ended(seat, outcome, task))
        try:
            return await outcome
        except asyncio.CancelledError:
            if not seat.task.done():
                self._inflight.was_abandoned()
                seat.abandon(self._cancel_grace_s)
            raise

    def _ended(self, seat: _Seat, outcome: asyncio.Future[object], task: asyncio.Task[object]) -> None:
        self._inflight.ended(abandoned=seat.vacate())
        error = HandlerQuitError("it was cancelled from within") if task.cancelled() else task.exception()
        if outcome.done():
            return
        if error is None:
            outcome.set_result(task.result())
        else:
            outcome.set_exception(error)


class _Seat(Coroutine[Any, Any, object]):
    """What a spare task runs: nothing, until a handler that has to wait takes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.context: Context = copy_context()
        self._free: asyncio.Future[None] = loop.create_future()
        self._parked = self._free.__await__()
        self._handler: Started[object] | None = None
        self._closer: asyncio.TimerHandle | None = None
        self._loop = loop
        self.task: asyncio.Task[object] = asyncio.Task(self, loop=loop, context=self.context)

    def fits(self, context: Context) -> bool:
        """Whether a handler that is to run in this context can use the seat; handlers before it may have
        left context variables or a cancellation behind."""
        return self.context == context and not self.task.cancelling()

    def take(self, handler: Coroutine[Any, Any, object], waits_for: object) -> None:
        """Seat a handler that was started in this seat's context under this task's identity."""
        self._handler = Started(handler, waits_for)
        if not self._free.done():
            self._free.set_result(None)

    def abandon(self, grace_s: float) -> None:
        """Cancel the handler, and close it if it has not ended in time."""
        self.task.cancel()
        self._closer = self._loop.call_later(grace_s, self.clear)

    def vacate(self) -> bool:
        """Note that the task has ended; return whether the handler had been abandoned."""
        if self._closer is None:
            return False
        self._closer.cancel()
        return True

    def clear(self) -> None:
        """Close the handler where it waits, and end the task."""
        if self._handler is not None:
            try:
                self._handler.close()
            except Exception as error:  # noqa: BLE001 - foreign code runs in close(), and nobody waits for it
                # Without the exception itself, which would be logged: its words may quote what it was shown.
                kind = type(error).__name__
                self._loop.call_exception_handler(
                    {"message": f"an abandoned plugin handler could not be closed: it raised {kind}"}
                )
        self.task.cancel()

    def send(self, value: Any) -> Any:
        if self._handler is None:
            return next(self._parked)
        try:
            return self._handler.send(value)
        except SystemExit as error:
            raise HandlerQuitError(f"it called sys.exit({error.code!r})") from error

    def throw(self, *error: Any) -> Any:
        if self._handler is None:
            return self._parked.throw(*error)
        try:
            return self._handler.throw(*error)
        except SystemExit as quit_error:
            raise HandlerQuitError(f"it called sys.exit({quit_error.code!r})") from quit_error

    def close(self) -> None:
        if self._handler is not None:
            self._handler.close()

    def __await__(self) -> Generator[Any, Any, object]:
        raise TypeError("a seat is run by its task, never awaited")
