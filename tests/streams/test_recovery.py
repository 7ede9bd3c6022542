"""What becomes of requests whose process died: exactly one family each, whenever it died."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.streams.support import (
    SMALL,
    RecordingLogger,
    admission,
    all_events,
    append,
    family,
    open_spool,
    read_all,
)

from weir_core.clock import SystemClock, rfc3339
from weir_streams.home import SpoolHome, spool_directories
from weir_streams.inflight import InflightTable, Slot
from weir_streams.recovery import REASON
from weir_streams.retention import Retention
from weir_streams.settings import SpoolSettings
from weir_streams.spool import Spool
from weir_streams.syncing import sync_writer

pytestmark = pytest.mark.usefixtures("no_keeper")


class Killed(BaseException):
    """Stands for SIGKILL at a chosen line."""


def abandon(spool: Spool) -> None:
    """Leave a spool as SIGKILL does: nothing sealed, slots as they are, the lock free."""
    spool._syncer.stop()
    spool._owned.close()


def send(slot: Slot, *, metered: bool = True, cost_nano: int | None = 1_500_000_000) -> None:
    slot.mark_sending(
        model="gpt-4o",
        prompt_tokens=100,
        response_tokens=50,
        cost_nano=cost_nano,
        metered=metered,
        stream=True,
    )


def recovered(root: Path) -> list[dict[str, Any]]:
    """Open once more and return every event there is."""
    open_spool(root).close()
    return all_events(root)


def test_a_request_that_was_never_sent_leaves_a_proxy_log_alone(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    slot = spool.admit(admission(client_request_id="mine", trace_id="ab" * 16, edge_id="e1"))
    slot.identify(7, "ann", 9)
    abandon(spool)
    (log,) = recovered(tmp_path)
    assert log["event_id"] == slot.event_ids.proxy_log
    assert (log["outcome"], log["response_code"], log["attempts"]) == ("gateway_error", 0, [])
    assert (log["request_id"], log["client_request_id"], log["trace_id"]) == (
        "request-1",
        "mine",
        "ab" * 16,
    )
    assert (log["app_id"], log["user_id"], log["credential_id"], log["edge_id"]) == (7, "ann", 9, "e1")
    assert (log["llm_id"], log["llm_slug"], log["vendor"]) == (3, "gpt", "openai")
    assert (log["method"], log["path"]) == ("POST", "/v1/chat/completions")
    assert log["timestamp"] == rfc3339(slot.admission.started_us)
    assert log["metadata"] == {"weir_recovered": REASON}


def test_a_request_that_was_sent_leaves_what_it_may_have_cost(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    slot = spool.admit(admission())
    slot.identify(7, None, None)
    send(slot)
    abandon(spool)
    log, analytics, budget = recovered(tmp_path)
    assert (log["model_name"], log["stream"]) == ("gpt-4o", True)
    assert log["attempts"][0]["error"] == REASON
    assert analytics["event_id"] == slot.event_ids.analytics
    assert analytics["usage_source"] == "estimated"
    assert (analytics["prompt_tokens"], analytics["response_tokens"], analytics["total_tokens"]) == (
        100,
        50,
        150,
    )
    assert (analytics["cost"], analytics["currency"]) == ("1.5", "USD")
    assert budget["event_id"] == slot.event_ids.budget_usage
    assert (budget["tokens_used"], budget["cost"]) == (150, "1.5")
    assert (budget["period_id"], budget["period_start"], budget["period_end"]) == (
        "2026-09",
        "2026-09-01T00:00:00.000000Z",
        "2026-10-01T00:00:00.000000Z",
    )


def test_an_unmetered_call_takes_nothing_from_a_budget(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    send(spool.admit(admission()), metered=False, cost_nano=None)
    abandon(spool)
    _, analytics = recovered(tmp_path)
    assert analytics["cost"] is None


def test_a_finished_request_is_not_recovered_and_a_second_open_recovers_nothing(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    append(spool, 1)
    spool.admit(admission(2))
    abandon(spool)
    assert [event["request_id"] for event in recovered(tmp_path)] == ["request-1"] * 3 + ["request-2"]
    assert len(recovered(tmp_path)) == 4


def test_a_kill_between_the_append_and_the_freed_slot_makes_no_second_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path)
    slot = spool.admit(admission())
    send(slot)
    monkeypatch.setattr(InflightTable, "free", _killed)
    with pytest.raises(Killed):
        spool.append(slot, family(1, slot.event_ids))
    monkeypatch.undo()
    abandon(spool)
    assert [event["outcome"] for event in recovered(tmp_path) if "method" in event] == ["served"]


def test_the_family_is_found_in_an_earlier_segment_too(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    slot = spool.admit(admission(1))
    spool._writer.write(_record_of(spool, slot), 3)
    for number in range(2, 30):
        append(spool, number, response_body="x" * 20_000)
    assert len(spool._owned.files.bases()) > 2
    abandon(spool)
    events = recovered(tmp_path)
    assert [event["event_id"] for event in events].count(slot.event_ids.proxy_log) == 1


@pytest.mark.parametrize("kill_at", range(1, 6))
def test_a_recovery_killed_anywhere_and_run_again_makes_one_family_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    spool = open_spool(tmp_path)
    slots = [spool.admit(admission(number)) for number in range(3)]
    abandon(spool)
    steps = iter(range(1, 100))

    def step(real: Any) -> Any:
        def stepped(*arguments: Any, **named: Any) -> Any:
            if next(steps) == kill_at:
                raise Killed
            return real(*arguments, **named)

        return stepped

    monkeypatch.setattr("weir_streams.writer.SegmentWriter.write", step(type(spool._writer).write))
    monkeypatch.setattr("weir_streams.recovery.sync_writer", step(sync_writer))
    monkeypatch.setattr(InflightTable, "clear", step(InflightTable.clear))
    with pytest.raises(Killed):
        open_spool(tmp_path)
    monkeypatch.undo()
    events = recovered(tmp_path)
    assert sorted(event["event_id"] for event in events) == sorted(slot.event_ids.proxy_log for slot in slots)


def test_a_torn_table_header_is_set_aside_loudly_and_the_spool_opens(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    append(spool, 1)
    spool.close()
    (directory,) = spool_directories(tmp_path)
    (directory / "inflight").write_bytes(b"rot" * 2000)
    logger = RecordingLogger()
    open_spool(tmp_path, logger=logger).close()
    assert logger.named("in-flight table set aside")
    assert len(all_events(tmp_path)) == 3


def test_an_unreadable_slot_is_reported_and_freed(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    slot = spool.admit(admission())
    spool._table._map[4096 + slot.number * 1024 + 20] ^= 0xFF
    abandon(spool)
    logger = RecordingLogger()
    again = open_spool(tmp_path, logger=logger)
    assert logger.named("in-flight slots unreadable") == [{"spool_id": again.id, "slots": [slot.number]}]
    assert again.in_flight == 0
    again.close()


def test_another_number_of_slots_is_taken_up_after_a_crash(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.admit(admission())
    abandon(spool)
    settings = SpoolSettings(segment_bytes=SMALL.segment_bytes, slot_reserve_bytes=16 * 1024, slots=3)
    again = open_spool(tmp_path, settings)
    assert (again._table.slots, again.in_flight) == (3, 0)
    again.close()


def test_directories_that_nobody_owns_are_recovered_and_left(tmp_path: Path) -> None:
    spools = [open_spool(tmp_path) for _ in range(3)]
    for number, spool in enumerate(spools):
        spool.admit(admission(number))
    for spool in spools[1:]:
        abandon(spool)
    clock, logger = SystemClock(), RecordingLogger()
    SpoolHome(tmp_path, SMALL, clock, logger).sweep(Retention(tmp_path, SMALL, clock, logger))
    assert sorted(event["request_id"] for event in all_events(tmp_path)) == ["request-1", "request-2"]
    assert spools[0].in_flight == 1
    spools[0].close()
    mine = next(path for path in spool_directories(tmp_path) if path.name == spools[1].id)
    assert not list(mine.glob("*.spare"))
    assert read_all(mine)


def _killed(*_: object) -> None:
    raise Killed


def _record_of(spool: Spool, slot: Slot) -> bytes:
    return spool._record(family(1, slot.event_ids))
