"""The spool beside the bare way to append the same events to a file: one write of JSON lines for each call.

The bare way keeps no account of calls in flight, checks no room, and adds no checksum; it makes what it wrote
durable once, at the end, and the spool every 100 ms.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.spooled import finished_call, new_admission, open_spool
from bench.turns import Comparison, timed
from weir_streams.admission import EventIds
from weir_streams.calls import CallRecord
from weir_streams.events import Event

_FAMILIES: Final = 64


def measure(work: Path, requests: int, rounds: int) -> Comparison:
    """Append the events of so many calls in both ways, so often."""
    return asyncio.run(_turns(work, requests, rounds))


async def _turns(work: Path, requests: int, rounds: int) -> Comparison:
    words = random.Random(1)
    ids = EventIds(*(str(number) for number in range(len(EventIds._fields))))
    made = [finished_call(new_admission(), ids, number, words) for number in range(_FAMILIES)]
    calls = [made[number % _FAMILIES] for number in range(requests)]
    their_events = [call.events() for call in made]
    families = [their_events[number % _FAMILIES] for number in range(requests)]
    events = sum(map(len, families))
    bare, spool = [], []
    for turn in range(rounds):
        bare.append(await timed(events, _append_bare(work / f"{turn}.jsonl", families)))
        spool.append(await timed(events, _append_to_spool(work / f"spool-{turn}", calls)))
    return Comparison("spool append", bare, spool)


async def _append_bare(path: Path, families: Sequence[Sequence[Event]]) -> None:
    encoder = msgspec.json.Encoder()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for events in families:
        os.write(file, encoder.encode_lines(events))
    os.fdatasync(file)
    os.close(file)


async def _append_to_spool(root: Path, calls: Sequence[CallRecord]) -> None:
    spool = open_spool(root)
    for call in calls:
        spool.append(spool.admit(new_admission()), call)
    spool.close()
