"""What can be put under load: the upstream itself, the bare forwarder, Weir's LLMs (``bench.gateway``)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.machine import pin
from bench.programs import announced

UPSTREAM_KEY: Final = "sk-bench-upstream"
FORWARDER: Final = "bare forwarder"
CEILING: Final = "no proxy"
_PATH: Final = "/v1/chat/completions"
_CLIENT_HEADERS: Final = (
    "accept: application/json",
    "accept-encoding: gzip, deflate",
    "user-agent: bench/1.0",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing to measure. ``pid`` is the process on the measured core, None when nothing is."""

    name: str
    address: str
    path: str = _PATH
    credential: str = "bench-client"
    pid: int | None

    @property
    def headers(self) -> tuple[str, ...]:
        """What the client sends beside what HTTP asks for."""
        return (*_CLIENT_HEADERS, f"authorization: Bearer {self.credential}")


@dataclass(frozen=True, slots=True)
class Upstream:
    """The compiled upstream, and how long its right answers are in bytes."""

    address: str
    body_bytes: int
    stream_bytes: int

    @property
    def ceiling(self) -> Target:
        """The upstream without a proxy: the load generator's own limit on its core."""
        return Target(name=CEILING, address=self.address, pid=None)


@contextmanager
def upstream(program: Path) -> Iterator[Upstream]:
    """Run the compiled upstream."""
    with announced([str(program)]) as (_, ready):
        yield Upstream(ready["address"], ready["body_bytes"], ready["stream_bytes"])


@contextmanager
def forwarder(origin: str, core: int) -> Iterator[Target]:
    """Run the bare forwarder on one core."""
    command = [sys.executable, "-m", "bench.forwarder", origin, UPSTREAM_KEY]
    with announced(command) as (pid, ready):
        pin(pid, core)
        yield Target(name=FORWARDER, address=ready["address"], pid=pid)
