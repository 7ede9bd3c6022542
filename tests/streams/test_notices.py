"""Notices of dead letters: what they say, where they are written, and what they never cost."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
from tests.streams.support import RecordingLogger, all_events, open_spool

from weir_core.clock import SystemClock
from weir_streams.cloudevents import kafka_headers
from weir_streams.events import DEAD_LETTER_TOPIC, PROXY_LOG_TOPIC
from weir_streams.notices import DeadLetterNotice, SpooledNotices, encode_notice
from weir_streams.schema_files import event_schema, kafka_headers_schema


def notice(**changes: Any) -> DeadLetterNotice:
    fields: dict[str, Any] = {
        "topic": PROXY_LOG_TOPIC,
        "partition": "3",
        "offset": 17,
        "event_id": "0199a0b0-0000-7000-8000-00000000abcd",
        "request_id": "request-1",
        "collector": "warehouse",
        "reason": "away",
        "tries": 3,
    }
    return DeadLetterNotice(**(fields | changes))


def check(value: Any, schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(value)


def test_a_notice_is_in_the_spool_as_its_schema_says(tmp_path: Path) -> None:
    with closing(open_spool(tmp_path)) as spool:
        SpooledNotices(spool, SystemClock(), RecordingLogger()).write([notice(), notice(offset=18)])
    first, second = all_events(tmp_path)
    check(first, event_schema(DEAD_LETTER_TOPIC))
    assert (first["event_id"], first["collector"], first["offset"]) == (notice().event_id, "warehouse", 17)
    assert first["notice_id"] != second["notice_id"]
    assert first["spool_seq"] < second["spool_seq"]


def test_it_goes_to_kafka_as_a_cloud_event_with_an_id_of_its_own() -> None:
    stamped = msgspec.structs.replace(
        notice(), notice_id="0199a0b0-0000-7000-8000-00000000ffff", timestamp="2026-01-31T12:00:00Z"
    )
    event = encode_notice(stamped)
    headers = {name: value.decode() for name, value in kafka_headers(event)}
    check(headers, kafka_headers_schema())
    assert (headers["ce_type"], headers["ce_id"]) == ("weir.dead_letter.v1", stamped.notice_id)
    assert (headers["ce_subject"], event.key) == ("request-1", b"warehouse")


def test_struct_and_schema_have_the_same_fields() -> None:
    schema = event_schema(DEAD_LETTER_TOPIC)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert list(schema["properties"]) == list(DeadLetterNotice.__struct_fields__)


def test_a_long_reason_is_cut() -> None:
    assert len(encode_notice(notice(reason="r" * 100_000)).value) < 10_000


def test_a_spool_that_takes_none_costs_the_notice_and_nothing_else(tmp_path: Path) -> None:
    spool, logger = open_spool(tmp_path), RecordingLogger()
    spool.close()
    SpooledNotices(spool, SystemClock(), logger).write([notice()])
    [told] = logger.named("no notice of a dead letter")
    assert told["event_id"] == notice().event_id
