"""Appends families as fast as it can and says so, until it is killed. Run by the crash tests.

Usage: ``appending_child.py <data directory> <round> <sync>``. Prints ``A <request>`` when a request was
admitted and ``W <request>`` when its family was written.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from pathlib import Path

import msgspec
from tests.streams.support import SMALL, RecordingLogger, admission, finished_call

from weir_core.clock import SystemClock
from weir_streams.inflight import Slot
from weir_streams.spool import Spool

IN_FLIGHT = 5


async def main(root: Path, run: str, sync: str) -> None:
    settings = msgspec.structs.replace(SMALL, sync=sync)
    spool = Spool.open(root, settings=settings, clock=SystemClock(), logger=RecordingLogger())
    waiting: deque[Slot] = deque()
    number = 0
    while True:
        number += 1
        slot = spool.admit(admission(number, request_id=f"request-{run}-{number}"))
        os.write(1, f"A {slot.admission.request_id}\n".encode())
        slot.identify(7, "ann", 9)
        if number % 3:
            slot.mark_sending(model="m", prompt_tokens=2, response_tokens=3, cost_nano=4, metered=True)
        waiting.append(slot)
        if len(waiting) < IN_FLIGHT:
            continue
        done = waiting.popleft()
        call = finished_call(number, done.event_ids, request_body="x" * (number % 40 * 100))
        call.request_id = done.admission.request_id
        seq = spool.append(done, call)
        if sync == "always":
            await spool.synced(seq)
        os.write(1, f"W {done.admission.request_id}\n".encode())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
