"""A power cut keeps, page by page, either what the last sync left or what was written since, in any order."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streams.support import SMALL, admission, all_events, append, family, open_spool

from weir_streams.home import spool_directories
from weir_streams.keeper import Keeper
from weir_streams.settings import KIB
from weir_streams.spool import Spool
from weir_streams.syncing import Syncer

PAGE = 4 * KIB


def files_of(spool: Spool) -> dict[str, bytes]:
    """What the spool's files hold now."""
    directory = spool._owned.files.directory
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def after_power_cut(
    synced: dict[str, bytes], written: dict[str, bytes], chance: random.Random
) -> Iterator[tuple[str, bytes]]:
    """For each page the synced or the newer contents; a file without a synced name may be missing."""
    for name, new in written.items():
        if name not in synced and chance.random() < 0.5:
            continue
        old = synced.get(name, b"").ljust(len(new), b"\0")
        pages = range(0, len(new), PAGE)
        yield name, b"".join(chance.choice((old, new))[page : page + PAGE] for page in pages)
    for name in synced.keys() - written.keys():
        yield name, synced[name]


def work(spool: Spool, chance: random.Random, first: int, count: int) -> list[int]:
    """Admit and finish requests, leaving some in flight; return those that were finished."""
    finished = []
    for number in range(first, first + count):
        slot = spool.admit(admission(number))
        if chance.random() < 0.7:
            slot.mark_sending(model="m", prompt_tokens=1, response_tokens=1, cost_nano=1, metered=True)
        if chance.random() < 0.7:
            body = "x" * chance.randint(0, 20_000)
            spool.append(slot, family(number, slot.event_ids, request_body=body))
            finished.append(number)
    return finished


@pytest.mark.parametrize("sync", ["interval", "always"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_was_synced_is_there_once_and_nothing_is_there_twice(
    tmp_path_factory: pytest.TempPathFactory, sync: str, seed: int
) -> None:
    chance = random.Random(seed)
    root = tmp_path_factory.mktemp("power")
    with pytest.MonkeyPatch.context() as patch:
        # The test decides when something is synced; nothing happens beside it.
        for thread in (Syncer, Keeper):
            patch.setattr(thread, "start", lambda self: None)
        spool = open_spool(root, msgspec.structs.replace(SMALL, sync=sync))
        admitted = chance.randint(0, 25)
        finished = work(spool, chance, 0, admitted)
        spool._syncer.sync_once()
        synced = files_of(spool)
        lost_or_kept = work(spool, chance, 100, chance.randint(0, 25))
        written = files_of(spool)
        spool._owned.close()
    directory = root / "spool" / spool.id
    shutil.rmtree(directory)
    directory.mkdir()
    for name, data in after_power_cut(synced, written, chance):
        (directory / name).write_bytes(data)

    again = open_spool(root)
    append(again, 999)
    again.close()

    assert [path.name for path in spool_directories(root)] == [spool.id]
    events = all_events(root)
    assert max(Counter(event["event_id"] for event in events).values()) == 1
    assert max(Counter(event["spool_seq"] for event in events).values()) == 1
    outcomes = {log["request_id"]: log["outcome"] for log in events if "response_code" in log}
    assert {outcomes[f"request-{number}"] for number in (*finished, 999)} == {"served"}
    in_flight = set(range(admitted)) - set(finished)
    assert {outcomes[f"request-{number}"] for number in in_flight} <= {"gateway_error"}
    assert {name for name, outcome in outcomes.items() if outcome == "served"} <= {
        f"request-{number}" for number in (*finished, *lost_or_kept, 999)
    }
