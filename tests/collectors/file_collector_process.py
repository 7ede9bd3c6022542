"""Writes events with the file collector until it is killed; prints each event id that it may call handled.

Run as ``python file_collector_process.py <directory> <first number>``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec
from tests.fakes.gateway_events import proxy_log

from weir_collectors.builtin.files import FileCollector
from weir_sdk import ProxyLog


async def run(directory: str, first: int) -> None:
    collector = FileCollector()
    context: Any = NoContext()
    await collector.initialize(context, {"directory": directory, "sync": "always", "max_bytes": 20_000})
    for start in range(first, first + 100_000, 10):
        events = [as_read(f"e{number}") for number in range(start, start + 10)]
        answers = await collector.handle_batch(context, events)
        if all(answer.handled for answer in answers):
            print(*(event.event_id for event in events), flush=True)


def as_read(event_id: str) -> ProxyLog:
    written = msgspec.json.encode(proxy_log(event_id=event_id, request_body="x" * 500))
    return msgspec.json.decode(written, type=ProxyLog)


class NoContext:
    def __getattr__(self, _name: str) -> Any:
        return self

    def __call__(self, *_arguments: object, **_values: object) -> None:
        return None


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
