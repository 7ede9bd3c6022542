"""Notices of dead letters, for whoever wants to hear of them; the database's row is the truth.

They go the way of events: into the spool of the process that keeps the dead letter, and from there by the
relay to Kafka.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from weir_core.clock import Clock, rfc3339
from weir_core.ids import new_id
from weir_streams.errors import SpoolError
from weir_streams.events import DEAD_LETTER_TOPIC, EncodedEvent
from weir_streams.reports import Logger
from weir_streams.spool import Spool

_MAX_REASON: Final = 4096
_ENCODER: Final = msgspec.json.Encoder()


class DeadLetterNotice(msgspec.Struct, frozen=True, kw_only=True):
    """One event that was given up, and where it stands in the log as far as that is known.

    ``notice_id``, ``spool_id``, ``spool_seq`` and ``timestamp`` are the notice's own, filled in by
    ``SpooledNotices``. ``collector`` is a slug, of an edge payload that of the plugin that sent it.
    """

    notice_id: str = ""
    spool_id: str = ""
    spool_seq: int = 0
    timestamp: str = ""
    topic: str
    partition: str | None = None
    offset: int | None = None
    event_id: str
    request_id: str = ""
    edge_namespace: str = ""
    plugin_id: int | None = None
    collector: str
    reason: str
    tries: int


class SpooledNotices:
    """Writes notices. Belongs to the spool's event loop.

    Args:
        spool: The process's own, which a relay reads.
        clock: Stamps them.
        logger: Told of those that could not be written.
        ids: Makes their ids.
    """

    def __init__(self, spool: Spool, clock: Clock, logger: Logger, ids: Callable[[], str] = new_id) -> None:
        self._spool = spool
        self._clock = clock
        self._logger = logger
        self._ids = ids

    def write(self, notices: Iterable[DeadLetterNotice]) -> None:
        """Write them durably. A spool that refuses one costs that notice and nothing else: it is no event."""
        for notice in notices:
            try:
                self._write(notice)
            except SpoolError as error:
                self._logger.warning(
                    "no notice of a dead letter", event_id=notice.event_id, reason=str(error)
                )

    def _write(self, notice: DeadLetterNotice) -> None:
        stamped = msgspec.structs.replace(
            notice, notice_id=self._ids(), timestamp=rfc3339(self._clock.wall_us())
        )

        def numbered(spool_id: str, seq: int) -> EncodedEvent:
            return encode_notice(msgspec.structs.replace(stamped, spool_id=spool_id, spool_seq=seq))

        self._spool.append_event(numbered)


def encode_notice(notice: DeadLetterNotice) -> EncodedEvent:
    """Encode with the collector as the key; a long reason is cut."""
    if len(notice.reason) > _MAX_REASON:
        notice = msgspec.structs.replace(notice, reason=notice.reason[:_MAX_REASON] + " ...")
    return EncodedEvent(DEAD_LETTER_TOPIC, notice.collector.encode(), _ENCODER.encode(notice))
