"""Plain ``def`` handlers: a few threads for each plugin, none of which can hold up the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

from weir_sdk.errors import HandlerQuitError
from weir_sdk.inflight import InFlight
from weir_sdk.waiting import HANDLERS_LOOP


class HandlerThreads:
    """Runs plain functions in daemon threads of one plugin's own, started as they are needed.

    The standard library's pool would join its threads at exit: one hanging handler would keep the process
    from ending. A thread whose caller has gone cannot be stopped either; it is counted, replaced as long as
    no more than ``limit`` hang, and forgotten once its handler ends.
    """

    def __init__(self, name: str, inflight: InFlight, *, limit: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._inflight = inflight
        self._limit = limit
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._unfinished = 0
        self._hanging = 0
        self._threads = 0

    async def run(self, function: Callable[..., object], *arguments: Any) -> object:
        """Call a function in a thread and return what it returned; raise what it raised.

        When the caller is cancelled before the function's turn, it is never called; after that, its result is
        lost.
        """
        job = _Job(self._loop, function, arguments)
        self._unfinished += 1
        self._inflight.began()
        self._jobs.put(job)
        if self._threads < min(self._unfinished, self._limit + min(self._hanging, self._limit)):
            self._start_thread()
        try:
            await job.done.wait()
        except asyncio.CancelledError:
            self._abandon(job)
            raise
        if job.error is not None:
            if isinstance(job.error, Exception | SystemExit):
                raise job.error
            raise HandlerQuitError(f"it raised {type(job.error).__name__}") from job.error
        return job.result

    def close(self) -> None:
        """Let the threads end, each after the handler it is in."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _start_thread(self) -> None:
        self._threads += 1
        threading.Thread(
            target=_work, args=(self._jobs, self._report), name=f"{self._name}-{self._threads}", daemon=True
        ).start()

    def _report(self, job: _Job) -> None:
        """Called in the thread when a handler has ended."""
        try:
            self._loop.call_soon_threadsafe(self._finished, job)
        except RuntimeError:  # the loop has closed: the process is ending, and nobody waits
            return

    def _finished(self, job: _Job) -> None:
        self._unfinished -= 1
        self._hanging -= job.abandoned
        self._inflight.ended(abandoned=job.abandoned)
        job.done.set()

    def _abandon(self, job: _Job) -> None:
        if job.done.is_set():
            return
        if job.claim():
            self._unfinished -= 1
            self._inflight.ended(abandoned=False)
        else:
            job.abandoned = True
            self._hanging += 1
            self._inflight.was_abandoned()


class _Job:
    """One call of a plain function."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, function: Callable[..., object], arguments: tuple[Any, ...]
    ) -> None:
        self.done = asyncio.Event()
        self.result: object = None
        self.error: BaseException | None = None
        self.abandoned = False
        self._loop = loop
        self._context: Context = copy_context()
        self._function = function
        self._arguments = arguments
        self._unclaimed = threading.Lock()

    def claim(self) -> bool:
        """Take the job, as the thread that runs it or the caller that withdraws it; true for the first."""
        return self._unclaimed.acquire(blocking=False)

    def call(self) -> None:
        """Run the function and keep what came of it."""
        try:
            self._context.run(HANDLERS_LOOP.set, self._loop)
            self.result = self._context.run(self._function, *self._arguments)
        except BaseException as error:  # noqa: BLE001 - foreign code; even an exit belongs to its caller
            self.error = error


def _work(jobs: SimpleQueue[_Job | None], report: Callable[[_Job], None]) -> None:
    while (job := jobs.get()) is not None:
        if job.claim():
            job.call()
            report(job)
        # A thread that waits for work must not keep the last request alive.
        del job
