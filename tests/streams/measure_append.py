"""Measures what decisions 0001 and 0003 rest on. Run: ``python -m tests.streams.measure_append <directory>``.

Compares one write per family in the caller's turn with one write per turn of the loop, and with a writer
thread; then times the parts of the hot path. Not a test: it asserts nothing.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.streams.support import RecordingLogger, admission, family

from weir_core.clock import SystemClock
from weir_core.ids import new_id
from weir_streams.families import encode_family
from weir_streams.settings import MIB, SpoolSettings
from weir_streams.spool import Spool

FAMILIES = 20_000
BODY = '{"model":"gpt-4o","messages":[{"role":"user","content":"' + "hello world " * 60 + '"}]}'
Waiting = tuple[bytes, asyncio.AbstractEventLoop, asyncio.Future[None]]
Append = Callable[[bytes], Awaitable[None]]


class File:
    """A preallocated file written from the start."""

    def __init__(self, directory: Path) -> None:
        self.fd = os.open(directory / "measured", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.posix_fallocate(self.fd, 0, 256 * MIB)
        self.position = 0

    def write(self, data: bytes) -> None:
        os.pwrite(self.fd, data, self.position)
        self.position += len(data)


def in_turn(file: File) -> Append:
    async def append(record: bytes) -> None:
        file.write(record)

    return append


def at_end_of_turn(file: File) -> Append:
    waiting: list[tuple[bytes, asyncio.Future[None]]] = []

    def flush() -> None:
        batch, waiting[:] = waiting[:], []
        file.write(b"".join(record for record, _ in batch))
        for _, future in batch:
            if not future.done():
                future.set_result(None)

    async def append(record: bytes) -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if not waiting:
            loop.call_soon(flush)
        waiting.append((record, future))
        await future

    return append


def on_a_thread(file: File) -> Append:
    records: queue.SimpleQueue[Waiting] = queue.SimpleQueue()

    def release(batch: list[Waiting]) -> None:
        for _, _, future in batch:
            future.set_result(None)

    def run() -> None:
        while True:
            batch = [records.get()]
            while not records.empty():
                batch.append(records.get())
            file.write(b"".join(record for record, _, _ in batch))
            batch[0][1].call_soon_threadsafe(release, batch)

    threading.Thread(target=run, daemon=True).start()

    async def append(record: bytes) -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        records.put((record, loop, future))
        await future

    return append


async def drive(append: Append, record: bytes, at_once: int) -> float:
    """Microseconds of this process's CPU a family, with so many requests at once."""

    async def request(count: int) -> None:
        for _ in range(count):
            await append(record)
            await asyncio.sleep(0)

    started = time.process_time()
    await asyncio.gather(*(request(FAMILIES // at_once) for _ in range(at_once)))
    return (time.process_time() - started) / FAMILIES * 1e6


def compare(directory: Path) -> None:
    record = encode_family(family(request_body=BODY), "0123456789ab", 1, 1)
    print(f"one family is {len(record)} bytes; CPU microseconds a family, best of 3")
    print("| requests at once | in the turn | end of turn | writer thread |\n|---|---|---|---|")
    for at_once in (1, 8, 64):
        row = []
        for way in (in_turn, at_end_of_turn, on_a_thread):
            row.append(min(asyncio.run(drive(way(File(directory)), record, at_once)) for _ in range(3)))
        print(f"| {at_once} | " + " | ".join(f"{each:.1f}" for each in row) + " |")


def hot_path(directory: Path) -> None:
    settings = SpoolSettings(sync_interval_s=0.1)
    spool = Spool.open(directory, settings=settings, clock=SystemClock(), logger=RecordingLogger())
    spent = {"admit": 0.0, "identify and mark sending": 0.0, "append": 0.0}
    stalls = []
    for number in range(FAMILIES):
        request = admission(number, request_id=new_id(), trace_id="ab" * 16)
        times = [time.perf_counter()]
        slot = spool.admit(request)
        times.append(time.perf_counter())
        slot.identify(7, "ann", 9)
        slot.mark_sending(model="gpt-4o", prompt_tokens=9, response_tokens=99, cost_nano=1234, metered=True)
        times.append(time.perf_counter())
        events = family(number, slot.event_ids, request_body=BODY)
        begun = time.perf_counter()
        spool.append(slot, events)
        stalls.append(time.perf_counter() - begun)
        spent["admit"] += times[1] - times[0]
        spent["identify and mark sending"] += times[2] - times[1]
        spent["append"] += stalls[-1]
        # A worker does not append flat out; this is about 8,000 families a second.
        while time.perf_counter() - begun < 100e-6:
            pass
    for name, seconds in spent.items():
        print(f"{name}: {seconds / FAMILIES * 1e6:.1f} us")
    stalls.sort()
    at = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    print(
        "append "
        + ", ".join(f"{name} {stalls[int(FAMILIES * part)] * 1e6:.0f} us" for name, part in at.items())
    )
    print(f"append longest {stalls[-1] * 1e6:.0f} us")
    spool.close()


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as directory:
        compare(Path(directory))
        hot_path(Path(directory))


if __name__ == "__main__":
    main()
