"""A role that runs alone and does not end when it is asked to: ``lone_role.py <what it hangs in> <deadline>``."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import structlog

from weir_cli.ending import end_in_time
from weir_cli.logs import configure_logs
from weir_cli.stopping import StopSignal
from weir_core.clock import SystemClock


async def main(hangs_in: str, deadline_s: float) -> None:
    stop = StopSignal()
    stop.unfinished = lambda: ["7 events are not committed"]
    end_in_time(stop, deadline_s, SystemClock(), structlog.get_logger("weir.lone"))
    print("running", flush=True)
    if hangs_in == "the loop":
        while True:
            time.sleep(0.01)
    await stop.stopping.wait()
    print("stopping", flush=True)
    if hangs_in == "a call":
        await asyncio.Event().wait()
    if hangs_in == "a thread":
        # The role has ended by then: it is Python that waits for the thread.
        asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)


if __name__ == "__main__":
    configure_logs("json", "info", "lone")
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
