"""Families for requests whose process died: what the in-flight table knew, as events that say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from weir_core.clock import Clock, rfc3339
from weir_core.money import nano_to_text
from weir_core.periods import month_at
from weir_streams.admission import Orphan
from weir_streams.events import PROXY_LOG_TOPIC, Analytics, Attempt, BudgetUsage, Event, Latency, ProxyLog
from weir_streams.families import fit_family
from weir_streams.inflight import InflightTable
from weir_streams.reader import SpoolReader
from weir_streams.reports import Logger
from weir_streams.syncing import sync_writer
from weir_streams.writer import SegmentWriter

_OUTCOME: Final = "gateway_error"
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
        family = orphan_family(orphan, currency)
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


def orphan_family(orphan: Orphan, currency: str) -> list[Event]:
    """The events of a request that never ended: a proxy log always, what it may have cost if it was sent."""
    ids = orphan.admitted.event_ids
    identity = _identity(orphan)
    sending = orphan.sending
    family: list[Event] = [_proxy_log(orphan, identity)]
    if sending is None:
        return family
    cost = None if sending.cost_nano is None else nano_to_text(sending.cost_nano)
    tokens = sending.prompt_tokens + sending.response_tokens
    family.append(
        Analytics(
            **identity,
            event_id=ids.analytics,
            model_name=sending.model,
            outcome=_OUTCOME,
            prompt_tokens=sending.prompt_tokens,
            response_tokens=sending.response_tokens,
            total_tokens=tokens,
            usage_source="estimated",
            cost=cost,
            currency=currency,
            attempts=_attempts(orphan),
        )
    )
    if sending.metered:
        period = month_at(orphan.admitted.started_us)
        family.append(
            BudgetUsage(
                **identity,
                event_id=ids.budget_usage,
                tokens_used=tokens,
                prompt_tokens=sending.prompt_tokens,
                response_tokens=sending.response_tokens,
                cost=cost,
                currency=currency,
                period_id=period.id,
                period_start=period.start,
                period_end=period.end,
            )
        )
    return family


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


def _identity(orphan: Orphan) -> dict[str, Any]:
    admitted, identity = orphan.admitted, orphan.identity
    return {
        "request_id": admitted.request_id,
        "client_request_id": admitted.client_request_id,
        "trace_id": admitted.trace_id,
        "timestamp": rfc3339(admitted.started_us),
        "edge_id": admitted.edge_id,
        "edge_namespace": admitted.edge_namespace,
        "app_id": identity.app_id if identity else None,
        "user_id": identity.user_id if identity else None,
        "credential_id": identity.credential_id if identity else None,
        "llm_id": admitted.llm_id,
        "llm_slug": admitted.llm_slug,
        "vendor": admitted.vendor,
    }


def _proxy_log(orphan: Orphan, identity: dict[str, Any]) -> ProxyLog:
    admitted, sending = orphan.admitted, orphan.sending
    streams = sending.stream if sending is not None else None
    return ProxyLog(
        **identity,
        event_id=admitted.event_ids.proxy_log,
        model_name=sending.model if sending is not None else None,
        method=admitted.method,
        path=admitted.path,
        response_code=_NO_RESPONSE,
        outcome=_OUTCOME,
        stream=admitted.stream if streams is None else streams,
        latency_ms=Latency(),
        attempts=_attempts(orphan),
        metadata={"weir_recovered": REASON},
    )


def _attempts(orphan: Orphan) -> list[Attempt]:
    return [] if orphan.sending is None else [Attempt(llm_id=orphan.admitted.llm_id, error=REASON)]
