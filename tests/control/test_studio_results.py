"""What control says became of a payload: to the edge that sent it, and to whoever watches dead letters."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tests.streams.support import RecordingLogger, all_events, open_spool

from weir_control.studio.delivering import Verdict
from weir_control.studio.inbox import Waiting
from weir_control.studio.results import SpooledResults
from weir_core.clock import SystemClock
from weir_streams.notices import SpooledNotices
from weir_streams.payloads import EDGE_PAYLOAD_TOPIC, EdgePayload

WAITING = Waiting(
    row_id=1,
    payload=EdgePayload(
        event_id="p-1",
        timestamp="2026-01-31T12:00:00Z",
        edge_id="edge-1",
        edge_namespace="eu",
        plugin_id=7,
        plugin_slug="cache",
        payload="{}",
    ),
    sent_at_us=0,
    received_at_us=0,
    tries=8,
    next_try_at_us=0,
)


async def test_a_payload_that_is_given_up_leaves_a_result_and_a_notice(tmp_path: Path) -> None:
    with closing(open_spool(tmp_path)) as spool:
        notices = SpooledNotices(spool, SystemClock(), RecordingLogger())
        results = SpooledResults(spool, SystemClock(), notices=notices)
        await results.write(WAITING, Verdict("failed", "down"), tries=9, dead_letter=True)
    result, notice = all_events(tmp_path)
    assert (result["payload_id"], result["dead_letter"]) == ("p-1", True)
    assert (notice["event_id"], notice["topic"]) == ("p-1", EDGE_PAYLOAD_TOPIC)
    assert (notice["collector"], notice["plugin_id"], notice["edge_namespace"]) == ("cache", 7, "eu")
    assert (notice["reason"], notice["tries"]) == ("down", 9)


async def test_of_one_that_is_handled_there_is_no_notice(tmp_path: Path) -> None:
    with closing(open_spool(tmp_path)) as spool:
        notices = SpooledNotices(spool, SystemClock(), RecordingLogger())
        results = SpooledResults(spool, SystemClock(), notices=notices)
        await results.write(WAITING, Verdict("handled"), tries=1, dead_letter=False)
    [result] = all_events(tmp_path)
    assert result["success"]
