"""A child of the supervisor: takes its orders from standard input, runs one role, dies with its parent."""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import os
import signal
import socket
import sys
import threading
from types import TracebackType
from typing import Final

import structlog
import uvloop

from weir_cli.data_dir import DataDir
from weir_cli.logs import configure_logs
from weir_cli.loop_watch import watched_loop
from weir_cli.orders import Orders
from weir_cli.roles.context import Role, RoleContext
from weir_cli.stopping import StopSignal
from weir_core.clock import SystemClock
from weir_core.secrets import KeyRing
from weir_core.settings import Settings

_PR_SET_PDEATHSIG: Final = 1
_PIECE_BYTES: Final = 64 * 1024


def main() -> None:
    """Entry point of ``python -m weir_cli.child <name>``; the name is only for ``ps`` to show."""
    lifeline = _take_standard_input()
    orders = Orders.decode(_first_line(lifeline))
    _die_with_parent(lifeline, orders.supervisor_pid)
    os.set_inheritable(orders.lock_fd, False)
    settings = Settings.model_validate(orders.settings)
    configure_logs(settings.log_format, settings.log_level, orders.name)
    sys.excepthook = _log_uncaught
    role = _load(orders.role)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(role, orders, settings))


async def _run(role: Role, orders: Orders, settings: Settings) -> None:
    stop = StopSignal()
    stop.listen(asyncio.get_running_loop())
    logger = structlog.get_logger(f"weir.{orders.name}")
    with watched_loop(settings.loop_stall_seconds, logger):
        await role(
            RoleContext(
                name=orders.name,
                settings=settings,
                data_dir=DataDir(settings.data_dir),
                keyring=KeyRing.from_text(orders.encryption_keys),
                listeners=tuple(_listener(fd) for fd in orders.listen_fds),
                clock=SystemClock(),
                logger=logger,
                stop=stop,
            )
        )


def _take_standard_input() -> int:
    """Move the lifeline away from descriptor 0, where a plugin could read it or pass it on."""
    lifeline = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return lifeline


def _first_line(lifeline: int) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(lifeline, _PIECE_BYTES)
        if not piece:
            raise SystemExit("weir_cli.child is started by weir serve, which was gone before it gave orders")
        line += piece
    return bytes(line)


def _die_with_parent(lifeline: int, supervisor_pid: int) -> None:
    """End this process at once when the supervisor ends, however that happens.

    What is in flight is safe: the next start recovers it from the in-flight table and the spool. On Linux the
    kernel kills us; elsewhere, and should that call be refused, a thread sees the lifeline's end.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor_pid:
        os._exit(1)
    threading.Thread(target=_exit_at_end, args=(lifeline,), name="lifeline", daemon=True).start()


def _exit_at_end(lifeline: int) -> None:
    while os.read(lifeline, _PIECE_BYTES):
        pass
    os._exit(1)


def _listener(fd: int) -> socket.socket:
    os.set_inheritable(fd, False)
    return socket.socket(fileno=fd)


def _load(name: str) -> Role:
    module, _, function = name.partition(":")
    role: Role = getattr(importlib.import_module(module), function)
    return role


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    structlog.get_logger("weir").critical("role failed", exc_info=(kind, error, traceback))


if __name__ == "__main__":
    main()
