"""A whole gateway as users start it: ``weir serve`` and everything it spawns, to be driven and killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from tests.support.environment import allowed_plugins, weir_environment
from tests.support.ports import free_port

ADMIN_TOKEN = "admin-token-of-the-tests"
_WEIR = Path(sys.executable).with_name("weir")
_READY_WITHIN_S = 60.0


@dataclass(frozen=True)
class Caller:
    """An app that may use some LLMs, and its credential."""

    app_id: int
    secret: str


class Gateway:
    """One data directory and the processes that serve it: those of ``weir serve``, or of another command."""

    def __init__(
        self,
        data_dir: Path,
        *,
        command: str = "serve",
        flags: Sequence[str] = (),
        plugin_path: Path | None = None,
        **settings: str,
    ) -> None:
        self.data_dir = data_dir
        self._command = [command, *flags]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = data_dir.with_suffix(".log")
        if command != "serve" or "database_url" in settings:
            settings = allowed_plugins(plugin_path) | settings
        self._settings = {f"WEIR_{name.upper()}": value for name, value in settings.items()}
        self._python_path = str(plugin_path) if plugin_path else ""
        self._process: asyncio.subprocess.Process | None = None
        self.api = httpx2.AsyncClient(
            base_url=self.url, headers={"authorization": f"Bearer {ADMIN_TOKEN}"}, timeout=30.0
        )

    async def start(self) -> None:
        """Start it and wait until it is ready to serve."""
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(_WEIR),
                *self._command,
                "--port",
                str(self.port),
                "--data-dir",
                str(self.data_dir),
                stdout=log,
                stderr=log,
                env={
                    **weir_environment(),
                    "WEIR_ADMIN_TOKEN": ADMIN_TOKEN,
                    "PYTHONPATH": self._python_path,
                    **self._settings,
                },
                start_new_session=True,
            )
        await self._until_ready()

    async def stop(self, *, hurry: bool = False) -> int:
        """Ask it to stop, as an operator would, and again when it is to hurry; return its exit code."""
        assert self._process is not None
        self._process.terminate()
        if hurry:
            await eventually(self._refuses_connections, "the first request to stop is taken")
            self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), 60)

    async def kill_everything(self) -> None:
        """SIGKILL the supervisor and all its children at once, and wait until they are gone."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    def children(self) -> dict[int, str]:
        """Process id to command line of every living child of the supervisor."""
        assert self._process is not None
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError, IndexError):
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    if parent == self._process.pid:
                        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                        found[int(entry.name)] = command
        return found

    def child(self, name: str) -> int:
        """The process id of the one child whose name begins so: ``proxy``, ``control``, ``collectors``."""
        [pid] = [pid for pid, command in self.children().items() if f"weir_cli.child {name}" in command]
        return pid

    async def close(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        if self._process is not None and self._process.returncode is None:
            await self.kill_everything()
        await self.api.aclose()

    async def create(self, resource: str, **fields: Any) -> dict[str, Any]:
        """POST to the management API and wait until the proxy has applied it."""
        return await self.write("POST", resource, **fields)

    async def write(self, method: str, resource: str, **fields: Any) -> dict[str, Any]:
        """Change something through the management API and wait until the proxy has applied it."""
        answer = await self.api.request(method, f"/api/v1/{resource}", json=fields)
        assert answer.is_success, (
            f"{method} {resource}: {answer.status_code} {answer.text}{self._why(answer)}"
        )
        await self.applied(int(answer.headers["x-weir-revision"]))
        data: dict[str, Any] = answer.json()["data"] if answer.content else {}
        return data

    def _why(self, answer: httpx2.Response) -> str:
        """What the log says of an answer that does not say it itself."""
        if not answer.is_server_error:
            return ""
        errors = [line for line in self.log_path.read_text().splitlines() if "[error" in line]
        return "\n".join(["", *errors[-3:]])

    async def applied(self, revision: int) -> None:
        """Wait until every proxy serves at least this revision."""

        async def reached() -> bool:
            ready = await self.api.get("/ready")
            return bool(ready.json().get("revision", 0) >= revision)

        await eventually(reached, f"revision {revision} is applied")

    async def hosted(self, plugin_id: int) -> None:
        """Wait until a process runs the plugin as it was last changed."""

        async def ready() -> bool:
            health = (await self.api.get(f"/api/v1/plugins/{plugin_id}/health")).json()["data"]
            return {worker["state"] for worker in health["workers"].values()} == {"ready"}

        await eventually(ready, f"plugin {plugin_id} runs")

    async def caller(self, *llm_ids: int, **fields: Any) -> Caller:
        """Make an app that may use these LLMs, with one credential."""
        app = await self.create("apps", name=f"app-{os.urandom(4).hex()}", llm_ids=list(llm_ids), **fields)
        credential = await self.create(f"apps/{app['id']}/credentials", name="test")
        return Caller(app["id"], credential["secret"])

    async def records(self, kind: str, **filters: Any) -> list[dict[str, Any]]:
        """Every record of a kind, over all pages."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            query = {**filters, "limit": 100, **({"cursor": cursor} if cursor else {})}
            page = (await self.api.get(f"/api/v1/records/{kind}", params=query)).raise_for_status().json()
            found += page["data"]
            cursor = page.get("next_cursor")
            if not cursor:
                return found

    async def recorded(
        self, kind: str, count: int, *, within_s: float = 30.0, **filters: Any
    ) -> list[dict[str, Any]]:
        """Wait until at least ``count`` records of a kind are there, and return them all."""
        found: list[dict[str, Any]] = []

        async def enough() -> bool:
            nonlocal found
            found = await self.records(kind, **filters)
            return len(found) >= count

        await eventually(enough, f"{count} {kind} records {filters}", within_s=within_s)
        return found

    async def _refuses_connections(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return True
        writer.close()
        return False

    async def _until_ready(self) -> None:
        async def ready() -> bool:
            assert self._process is not None
            assert self._process.returncode is None, f"weir {self._command} ended: see {self.log_path}"
            with contextlib.suppress(httpx2.TransportError):
                return (await self.api.get("/ready")).status_code == 200
            return False

        await eventually(ready, "the gateway is ready", within_s=_READY_WITHIN_S)


async def eventually(
    condition: Callable[[], Any], what: str, *, within_s: float = 30.0, every_s: float = 0.02
) -> None:
    """Ask again and again until ``condition`` (an async function) says yes.

    Args:
        condition: What is asked.
        what: It, in words.
        within_s: How long to go on.
        every_s: Pause between two questions; longer for those that keep the machine from what they wait for.

    Raises:
        AssertionError: It did not within the time.
    """
    deadline = asyncio.get_running_loop().time() + within_s
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {within_s} s: {what}"
        await asyncio.sleep(every_s)


@contextlib.asynccontextmanager
async def running_gateway(data_dir: Path, **options: Any) -> AsyncIterator[Gateway]:
    """A started gateway that is gone afterwards."""
    gateway = Gateway(data_dir, **options)
    try:
        await gateway.start()
        yield gateway
    finally:
        await gateway.close()
