"""Sending edge payloads: each is one event in the spool of the worker that hosts the plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from weir_core.clock import Clock, rfc3339
from weir_core.ids import new_id
from weir_streams.errors import SpoolFullError
from weir_streams.events import EncodedEvent
from weir_streams.payloads import EdgePayload, as_text, encode_payload
from weir_streams.payloads_pending import PendingPayloads
from weir_streams.settings import GIB
from weir_streams.spool import Spool

_MOST_PENDING: Final = 100_000
_MOST_PENDING_BYTES: Final = GIB


class PayloadSender:
    """Appends payloads. Belongs to the spool's event loop.

    Args:
        spool: The worker's own.
        pending: What of it has no result yet.
        edge_id: Of this installation.
        edge_namespace: Likewise.
        clock: Stamps payloads.
        ids: Makes their ids.
    """

    def __init__(
        self,
        spool: Spool,
        pending: PendingPayloads,
        *,
        edge_id: str,
        edge_namespace: str,
        clock: Clock,
        ids: Callable[[], str] = new_id,
    ) -> None:
        self._spool = spool
        self._pending = pending
        self._edge_id = edge_id
        self._edge_namespace = edge_namespace
        self._clock = clock
        self._ids = ids

    async def send(
        self,
        plugin_id: int,
        plugin_slug: str,
        payload: bytes,
        correlation_id: str,
        metadata: Mapping[str, str],
    ) -> int:
        """Send one payload; returns when it is durable, with ``PendingPayloads.count``.

        Without waiting unless the spool syncs always. Limits are the caller's to check.

        Raises:
            SpoolError: It was not sent: no room (retryable), or it is too large when encoded.
        """
        self._check_room()
        text, encoding = as_text(payload)
        event = EdgePayload(
            event_id=self._ids(),
            timestamp=rfc3339(self._clock.wall_us()),
            edge_id=self._edge_id,
            edge_namespace=self._edge_namespace,
            plugin_id=plugin_id,
            plugin_slug=plugin_slug,
            correlation_id=correlation_id,
            metadata=dict(metadata),
            payload=text,
            payload_encoding=encoding,
        )
        size = 0

        def numbered(spool_id: str, seq: int) -> EncodedEvent:
            nonlocal size
            event.spool_id, event.spool_seq = spool_id, seq
            encoded = encode_payload(event)
            size = len(encoded.value)
            return encoded

        seq = self._spool.append_event(numbered)
        self._pending.add(event.event_id, size)
        if self._spool.settings.sync == "always":
            await self._spool.synced(seq)
        return self._pending.count

    def _check_room(self) -> None:
        if self._pending.own >= _MOST_PENDING or self._pending.own_bytes >= _MOST_PENDING_BYTES:
            raise SpoolFullError(
                f"{self._pending.own} payloads wait for control, which takes no more for now; send it later"
            )
