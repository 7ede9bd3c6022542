"""Results of payloads, into control's own spool."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from weir_control.studio.delivering import Verdict
from weir_control.studio.inbox import Waiting
from weir_core.clock import Clock, rfc3339
from weir_core.ids import new_id
from weir_sdk.errors import ServiceError
from weir_sdk.payloads import check_payload
from weir_streams.events import EncodedEvent
from weir_streams.notices import DeadLetterNotice, SpooledNotices
from weir_streams.payloads import EDGE_PAYLOAD_TOPIC, EdgePayload, EdgePayloadResult, encode_result
from weir_streams.spool import Spool


class SpooledResults:
    """Writes results. Belongs to the spool's event loop.

    Args:
        spool: Control's own, which edges read (in place, or out of Kafka).
        clock: Stamps results.
        ids: Makes their ids.
        notices: Told of payloads that are given up.
    """

    def __init__(
        self,
        spool: Spool,
        clock: Clock,
        ids: Callable[[], str] = new_id,
        notices: SpooledNotices | None = None,
    ) -> None:
        self._notices = notices
        self._spool = spool
        self._clock = clock
        self._ids = ids

    async def write(self, waiting: Waiting, verdict: Verdict, *, tries: int, dead_letter: bool) -> None:
        """Write a result durably.

        Raises:
            SpoolError: It is not written: no room, or the disk refuses.
        """
        payload = waiting.payload
        result = EdgePayloadResult.of(
            payload,
            event_id=self._ids(),
            timestamp=rfc3339(self._clock.wall_us()),
            success=verdict.kind == "handled" and not verdict.error,
            handled=verdict.kind == "handled",
            tries=tries,
            error=verdict.error,
            dead_letter=dead_letter,
        )
        result.handled_by, result.metadata = verdict.handled_by, _within_limits(verdict.metadata)

        def numbered(spool_id: str, seq: int) -> EncodedEvent:
            result.spool_id, result.spool_seq = spool_id, seq
            return encode_result(result)

        seq = self._spool.append_event(numbered)
        if dead_letter and self._notices is not None:
            self._notices.write([_notice(result, payload)])
        if self._spool.settings.sync == "always":
            await self._spool.synced(seq)


def _notice(result: EdgePayloadResult, payload: EdgePayload) -> DeadLetterNotice:
    return DeadLetterNotice(
        topic=EDGE_PAYLOAD_TOPIC,
        event_id=payload.event_id,
        edge_namespace=payload.edge_namespace,
        plugin_id=payload.plugin_id,
        collector=payload.plugin_slug,
        reason=result.error,
        tries=result.tries,
    )


def _within_limits(metadata: Mapping[str, str]) -> dict[str, str]:
    """A plugin's notes, if they keep to the limits of a payload's; a result is worth more than they are."""
    try:
        check_payload(b"", "", metadata)
    except ServiceError:
        return {}
    return dict(metadata)
