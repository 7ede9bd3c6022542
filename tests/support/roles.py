"""One role of ``weir`` as a process of its own, beside a gateway or without one."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import httpx2
from tests.support.environment import allowed_plugins, weir_environment
from tests.support.gateway import eventually
from tests.support.ports import free_port

_WEIR = Path(sys.executable).with_name("weir")


class RoleProcess:
    """``weir ROLE`` on a data directory, to be started again after each of its ends.

    Args:
        role: The command, such as ``relay`` or ``collect``.
        data_dir: It may be shared with a gateway.
        plugin_path: Where it finds plugins' modules.
        settings: As the environment spells them, without the prefix.
    """

    def __init__(
        self, role: str, data_dir: Path, *, plugin_path: Path | None = None, **settings: str
    ) -> None:
        if "database_url" in settings:
            settings = allowed_plugins(plugin_path) | settings
        self.log_path = data_dir.with_name(f"{data_dir.name}-{role}.log")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._command = [str(_WEIR), role, "--data-dir", str(data_dir), "--port", str(port)]
        self._environment = {
            **weir_environment(**settings),
            "PYTHONPATH": str(plugin_path) if plugin_path else "",
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, without waiting for what it does."""
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environment, stdout=log, stderr=log
            )

    async def ready(self) -> None:
        """Wait until it says that it works."""
        async with httpx2.AsyncClient(base_url=self.url) as client:

            async def is_ready() -> bool:
                assert self._process is not None
                assert self._process.returncode is None, f"it ended: see {self.log_path}"
                with contextlib.suppress(httpx2.TransportError):
                    return (await client.get("/ready")).status_code == 200
                return False

            await eventually(is_ready, f"{self._command[1]} is ready", within_s=60)

    async def kill(self) -> None:
        """SIGKILL it where it runs, and wait until it is gone."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def close(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        await self.kill()

    async def stop(self) -> int:
        """Ask it to end, as an operator would; return its exit code."""
        assert self._process is not None
        self._process.terminate()
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it has ended, by itself or not; return its exit code."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), 60)

    async def health(self) -> httpx2.Response | None:
        """What it says of itself; None while it does not answer."""
        with contextlib.suppress(httpx2.TransportError):
            async with httpx2.AsyncClient() as client:
                return await client.get(f"{self.url}/health")
        return None
