"""A supervisor in a process of its own, for tests that kill it: ``supervising.py <data dir> <role>``."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import structlog

from weir_cli.data_dir import DataDir, DataDirLock
from weir_cli.plans import Household
from weir_cli.processes import child_environment, spawn
from weir_cli.stopping import StopSignal
from weir_cli.supervisor import ChildPlan, Supervisor
from weir_core.clock import SystemClock
from weir_core.secrets import KeyRing
from weir_core.settings import Settings


async def main(root: Path, role: str) -> int:
    data_dir = DataDir.at(root)
    lock = await DataDirLock.take(data_dir)
    household = Household(
        settings=Settings(),
        data_dir=data_dir,
        encryption_keys=KeyRing.generate_key(),
        environment=child_environment(os.environ, {"PYTHONPATH": str(Path(__file__).parent)}),
        lock_fd=lock.fd,
    )
    command = household.child(role, f"fake_roles:{role}")
    supervisor = Supervisor(
        [ChildPlan(role, command, stop_order=0, grace_s=10.0)],
        spawn=spawn,
        clock=SystemClock(),
        logger=structlog.get_logger(),
    )
    stop = StopSignal()
    stop.listen(asyncio.get_running_loop())
    return 1 if await supervisor.run(stop) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]), sys.argv[2])))
