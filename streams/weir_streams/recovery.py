"""Families for requests whose process died: what the in-flight table knew, as events that say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from weir_core.clock import Clock
from weir_core.money import nano_to_text
from weir_streams.admission import Orphan
from weir_streams.calls import CallRecord
from weir_streams.events import PROXY_LOG_TOPIC, Attempt
from weir_streams.families import fit_family
from weir_streams.inflight import InflightTable
from weir_streams.reader import SpoolReader
from weir_streams.reports import Logger
from weir_streams.syncing import sync_writer
from weir_streams.writer import SegmentWriter

REASON: Final = "the gateway's process ended while the request was in flight"
# No status line is known to have reached the client; 502 would claim that one had.
_NO_RESPONSE: Final = 0
_PIECE: Final = 1024 * 1024


class _EventId(msgspec.Struct):
    event_id: str


_DECODE_ID = msgspec.json.Decoder(_EventId)


def recover_orphans(
    table: InflightTable, writer: SegmentWriter, *, reserve: int, currency: str, clock: Clock, logger: Logger
) -> int:
    """Write a family for every slot that has none, free the slots, and return how many were written.

    May be killed at any line and run again: the event ids stand in the slots, and a family that is in the
    spool already is not written twice. Blocks.

    Raises:
        SpoolFullError: No room; no slot was freed.
        OSError: The disk refused; no slot was freed.
    """
    spool_id = writer.files.spool_id
    orphans, unreadable = table.orphans()
    if unreadable:
        logger.error("in-flight slots unreadable", spool_id=spool_id, slots=unreadable)
    written = _ids_in_spool(orphans, writer, clock)
    missing = [orphan for orphan in orphans if orphan.admitted.event_ids.proxy_log not in written]
    for orphan in missing:
        family = orphan_record(orphan, currency)
        record = fit_family(family, spool_id, writer.next_seq, clock.wall_us(), reserve)
        if writer.room_after(len(record), 0) < 0:
            writer.files.allocate()
        writer.write(record, len(family))
    sync_writer(writer)
    table.clear()
    table.sync()
    if missing:
        logger.warning("requests in flight recovered", spool_id=spool_id, families=len(missing))
    return len(missing)


def orphan_record(orphan: Orphan, currency: str) -> CallRecord:
    """What a request that never ended leaves: a proxy log always, what it may have cost if it was sent."""
    admitted, identity, sending = orphan.admitted, orphan.identity, orphan.sending
    record = CallRecord(
        event_ids=admitted.event_ids,
        started_us=admitted.started_us,
        request_id=admitted.request_id,
        client_request_id=admitted.client_request_id,
        trace_id=admitted.trace_id,
        edge_id=admitted.edge_id,
        edge_namespace=admitted.edge_namespace,
        llm_id=admitted.llm_id,
        llm_slug=admitted.llm_slug,
        vendor=admitted.vendor,
        method=admitted.method,
        path=admitted.path,
        response_code=_NO_RESPONSE,
        outcome="gateway_error",
        stream=admitted.stream,
        currency=currency,
        metadata={"weir_recovered": REASON},
    )
    if identity is not None:
        record.app_id = identity.app_id
        record.user_id = identity.user_id
        record.credential_id = identity.credential_id
    if sending is not None:
        record.analysed = True
        record.billed = sending.metered
        record.attempts = [Attempt(llm_id=admitted.llm_id, error=REASON)]
        record.model_name = sending.model
        record.stream = admitted.stream if sending.stream is None else sending.stream
        record.prompt_tokens = sending.prompt_tokens
        record.response_tokens = sending.response_tokens
        record.total_tokens = sending.prompt_tokens + sending.response_tokens
        record.usage_source = "estimated"
        record.cost = None if sending.cost_nano is None else nano_to_text(sending.cost_nano)
    return record


def _ids_in_spool(orphans: Sequence[Orphan], writer: SegmentWriter, clock: Clock) -> set[str]:
    """Proxy logs written since the oldest orphan was admitted; a family is one record, whole or absent."""
    if not orphans:
        return set()
    reader = SpoolReader(
        writer.files.directory,
        min(orphan.admitted.first_seq for orphan in orphans),
        report=lambda _damage: None,
        monotonic=clock.monotonic,
        patience_s=0,
    )
    found: set[str] = set()
    try:
        while not reader.at_end:
            for record in reader.read(_PIECE):
                found.update(
                    _DECODE_ID.decode(event.value).event_id
                    for event in record.events
                    if event.topic == PROXY_LOG_TOPIC
                )
    finally:
        reader.close()
    return found
