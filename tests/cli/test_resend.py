"""What Kafka refused, as ``weir doctor`` and ``weir events resend`` treat it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Weir
from tests.streams.support import all_events, family

from weir_core.clock import SystemClock
from weir_streams.events import PROXY_LOG_TOPIC, encode
from weir_streams.kafka.aside import RefusedFile
from weir_streams.kafka.outgoing import Unsendable
from weir_streams.log import LogRecord, Partition

REASON = "a batch of 1 records for weir.proxy-log.v1/{} was refused: MessageSizeTooLargeError (run weir topics apply)"


@pytest.fixture
def refused(tmp_path: Path) -> RefusedFile:
    """Three events that stand aside, of different partitions in Kafka."""
    file = RefusedFile(tmp_path / "weir-data", SystemClock())
    records = []
    for number in range(3):
        event = encode(family(number)[0])
        place = Partition(PROXY_LOG_TOPIC, "0123456789ab")
        record = LogRecord(place, number, event.key, event.value)
        records.append(Unsendable(record, REASON.format(number)))
    file.append(records)
    return file


def said_by_doctor(weir: Weir) -> list[dict[str, Any]]:
    _, out, _ = weir("doctor", "--json")
    return [one for one in json.loads(out)["findings"] if "Kafka refused" in one["what"]]


def test_the_doctor_names_the_file_the_reasons_and_the_command(weir: Weir, refused: RefusedFile) -> None:
    [finding] = said_by_doctor(weir)
    assert finding["level"] == "wrong"
    assert finding["what"].startswith("3 events that Kafka refused")
    assert str(refused.path) in finding["what"]
    assert "3 x weir.proxy-log.v1: MessageSizeTooLargeError (run weir topics apply)" in finding["what"]
    assert "weir events resend --data-dir" in finding["fix"]


def test_resending_puts_them_into_the_spool_and_the_doctor_is_content(
    weir: Weir, refused: RefusedFile, tmp_path: Path
) -> None:
    code, out, err = weir("events", "resend")
    assert (code, out, err) == (0, "3 events are in the spool again; the relay sends them.\n", "")
    assert [event["event_id"] for event in all_events(tmp_path / "weir-data")] == ["log-0", "log-1", "log-2"]
    assert refused.size() == 0
    assert said_by_doctor(weir) == []


def test_what_is_no_event_stays_and_is_said(weir: Weir, refused: RefusedFile) -> None:
    refused.append_lines([b"{torn"])
    code, out, err = weir("events", "resend")
    assert (code, out) == (1, "3 events are in the spool again; the relay sends them.\n")
    assert "1 lines are no events" in err
    [finding] = said_by_doctor(weir)
    assert "1 x lines that are no events" in finding["what"]


def test_where_nothing_was_refused_nothing_is_made(weir: Weir, tmp_path: Path) -> None:
    assert weir("events", "resend")[0] == 0
    assert not (tmp_path / "weir-data").exists()
