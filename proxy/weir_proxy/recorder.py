"""The moment a call becomes history: one durable append before its last byte is released."""

from __future__ import annotations

import time

from weir_proxy.call import Call
from weir_proxy.family import build_record
from weir_proxy.metrics import Metrics
from weir_proxy.settlement import settle
from weir_streams.calls import CallRecord
from weir_streams.errors import SpoolWriteError
from weir_streams.spool import Spool


class Recorder:
    """Writes each call's family exactly once.

    Args:
        capture_limit: Bytes of each body that an event carries, encoded.
        sync_always: Wait for the disk before a call counts as recorded.
        anonymous_per_second: Refusals before authentication that leave events; those beyond are only counted.
    """

    def __init__(
        self,
        spool: Spool,
        metrics: Metrics,
        *,
        capture_limit: int,
        sync_always: bool,
        anonymous_per_second: int,
    ) -> None:
        self._spool = spool
        self._metrics = metrics
        self._capture_limit = capture_limit
        self._sync_always = sync_always
        self._anonymous = _PerSecond(anonymous_per_second)

    async def record(self, call: Call) -> None:
        """Append the call's family; a second call does nothing.

        When it returns, the family survives the death of this process, and a power cut as well when
        ``spool.sync`` is ``always``.

        Raises:
            SpoolWriteError: The family is not durable yet; the answer must not be completed.
        """
        if call.recorded:
            return
        now = time.perf_counter()
        if call.outcome == "denied" and call.caller is None and not self._anonymous.allows(now):
            call.slot.release()
            call.recorded = True
            self._metrics.refused_without_event("anonymous")
            return
        total_ms = round((now - call.started) * 1000, 3)
        record = build_record(call, settle(call), total_ms, self._capture_limit)
        # From here on the spool owns the family: what it cannot write now, it writes or recovers later.
        call.recorded = True
        try:
            seq = self._spool.append(call.slot, record)
        except SpoolWriteError:
            _tell_what_the_client_saw(call, record)
            raise
        self._metrics.recorded(call, now - call.started)
        if self._sync_always:
            await self._spool.synced(seq)


def _tell_what_the_client_saw(call: Call, record: CallRecord) -> None:
    """The spool writes this family when the disk is back: the client got no answer that it could keep."""
    record.outcome = "gateway_error"
    if not call.client.answering:
        record.response_code = 503


class _PerSecond:
    """At most ``limit`` per second of a clock that only grows."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._second = 0
        self._count = 0

    def allows(self, now: float) -> bool:
        second = int(now)
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= self._limit
