"""All brokers away for longer than a member waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.streams.event_log_contract import numbers, past
from tests.streams.kafka.bench import KafkaBench, kafka_bench
from tests.support.servers.kafka import KafkaServer

from weir_streams.errors import LogUnavailableError
from weir_streams.events import PROXY_LOG_TOPIC

pytestmark = [pytest.mark.system, pytest.mark.crash]


@dataclass
class Member:
    """Reads and commits as a worker does: whatever ends its membership, it joins anew."""

    bench: KafkaBench
    found: set[int] = field(default_factory=set)
    memberships_ended: int = 0

    async def run(self) -> None:
        while True:
            with suppress(LogUnavailableError):
                await self._belong()
            self.memberships_ended += 1

    async def _belong(self) -> None:
        consumer = await self.bench.log.consumer("group", [PROXY_LOG_TOPIC])
        try:
            while True:
                records = await consumer.poll(100, 0.1)
                self.found.update(numbers(records))
                if records:
                    await consumer.commit(past(records))
                await consumer.lag()
        finally:
            await consumer.close()


@pytest.mark.usefixtures("kafka_programs")
async def test_members_read_on_after_an_outage_that_ended_their_memberships(tmp_path: Path) -> None:
    server = KafkaServer(tmp_path / "kafka")
    with ExitStack() as stack:
        stack.callback(server.stop)
        await asyncio.to_thread(server.start)
        async with kafka_bench(server.bootstrap_servers, instance="worker", request_timeout_s=1.0) as bench:
            await bench.produce("a", 0, 5)
            members = [Member(bench), Member(bench)]
            running = [asyncio.create_task(member.run()) for member in members]
            await until(lambda: found_by(members) == set(range(5)))
            server.kill()
            ended = [member.memberships_ended for member in members]
            await until(
                lambda: all(m.memberships_ended > before for m, before in zip(members, ended, strict=True))
            )
            await asyncio.to_thread(server.start)
            await bench.produce("a", 5, 5)
            await bench.produce("b", 100, 5)
            await until(lambda: found_by(members) == {*range(10), *range(100, 105)})
            for task in running:
                task.cancel()
            await asyncio.wait(running)


async def until(is_so: Callable[[], bool]) -> None:
    """Ask again and again; the test's own time bounds it."""
    while not is_so():
        await asyncio.sleep(0.02)


def found_by(members: list[Member]) -> set[int]:
    return set().union(*(member.found for member in members))
