"""Ports for servers that have to be told one."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_LOWEST: Final = 10_000
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_FIRST_OF_CLIENTS: Final = 32_768


def free_port() -> int:
    """A port that nobody listens on now."""
    [port] = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on now.

    They are of those that the system gives to no client: one of these could be taken before the server starts.
    """
    with contextlib.ExitStack() as held:
        listeners = [held.enter_context(_listener()) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]


def accepts(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _listener() -> socket.socket:
    for port in _candidates():
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
    raise AssertionError("no port is free")


def _candidates() -> Iterator[int]:
    """In an order of this process's own: tests run side by side."""
    first = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else _USUAL_FIRST_OF_CLIENTS
    ports = range(_LOWEST, first) if first > _LOWEST + 1000 else range(_LOWEST, _USUAL_FIRST_OF_CLIENTS)
    yield from random.SystemRandom().sample(ports, len(ports))
