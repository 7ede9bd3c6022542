"""``weir streams`` as a process to be killed, and what it has left on its topics."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from aiokafka import AIOKafkaConsumer
from tests.support.gateway import eventually, free_port

from weir_streams.kafka.settings import KafkaSettings

_WEIR = Path(sys.executable).with_name("weir")


class StreamsProcess:
    """One data directory and the process that keeps its windows; ``options`` as the environment has them."""

    def __init__(self, data_dir: Path, options: Mapping[str, str]) -> None:
        self.log_path = data_dir.with_suffix(".streams.log")
        self._data_dir = data_dir
        self._environment = {f"WEIR_{name.upper()}": value for name, value in options.items()}
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self) -> None:
        """Start it; it may take a while to be ready."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(_WEIR),
                "streams",
                "--port",
                str(port),
                "--data-dir",
                str(self._data_dir),
                stdout=log,
                stderr=log,
                env=inherited | self._environment,
            )

    async def ready(self) -> None:
        """Wait until it publishes."""
        await eventually(lambda: self.answers("/ready", 200), "weir streams is ready", within_s=60)

    async def answers(self, path: str, status: int) -> bool:
        """Whether it answers so."""
        assert self._process is not None
        assert self._process.returncode is None, f"weir streams ended: see {self.log_path}"
        async with httpx2.AsyncClient() as client:
            with contextlib.suppress(httpx2.TransportError):
                return (await client.get(self.url + path)).status_code == status
        return False

    async def get(self, path: str) -> str:
        """The body of an answer."""
        async with httpx2.AsyncClient() as client:
            return (await client.get(self.url + path)).text

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; return the exit code."""
        assert self._process is not None
        self._process.terminate()
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it has ended; return the exit code."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), 60)


@asynccontextmanager
async def streams_process(data_dir: Path, options: Mapping[str, str]) -> AsyncIterator[StreamsProcess]:
    """One that is gone afterwards."""
    process = StreamsProcess(data_dir, options)
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


async def messages(settings: KafkaSettings, topic: str) -> list[tuple[str, dict[str, Any] | None]]:
    """Every key and value of a topic of one partition, in order."""
    consumer = AIOKafkaConsumer(
        settings.topic(topic), bootstrap_servers=settings.bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        [(place, end)] = (await consumer.end_offsets(consumer.assignment())).items()
        found: list[tuple[str, dict[str, Any] | None]] = []
        while await consumer.position(place) < end:
            for record in (await consumer.getmany(timeout_ms=1000)).get(place, ()):
                value = None if record.value is None else msgspec.json.decode(record.value)
                found.append((record.key.decode(), value))
        return found
    finally:
        await consumer.stop()


async def windows(settings: KafkaSettings) -> dict[str, dict[str, Any]]:
    """The last value of each window's key, without those that were taken out."""
    latest = dict(await messages(settings, "weir.spend.v1"))
    return {key: value for key, value in latest.items() if value is not None}
