"""The spools of the processes of one data directory: how large, what they wait for, and whose they are."""

from __future__ import annotations

from typing import Final

import msgspec

from weir_cli.roles.context import RoleContext
from weir_collectors.kinds import REQUIRED_GROUPS
from weir_core.settings import Settings
from weir_streams.kafka.relay import RELAY_GROUP
from weir_streams.notices import SpooledNotices
from weir_streams.retention import NeededGroups
from weir_streams.settings import MIB, SpoolSettings
from weir_streams.spool import Spool

_SECONDS_PER_HOUR: Final = 3600.0
_SIDE_SEGMENT_BYTES: Final = 8 * MIB


def with_kafka(settings: Settings) -> bool:
    """Whether the spools only have to keep what the relay has not delivered."""
    return settings.kafka.bootstrap_servers is not None


def spool_settings(settings: Settings) -> SpoolSettings:
    """The ``[spool]`` table in the event path's own terms.

    Retention waits for the deciding groups; with Kafka, where these read there, for the relay alone.
    """
    spool = settings.spool
    return SpoolSettings(
        sync=spool.sync,
        segment_bytes=spool.segment_bytes,
        slots=settings.max_in_flight,
        max_bytes=spool.max_bytes,
        retention_s=spool.retention_hours * _SECONDS_PER_HOUR,
        retention_bytes=spool.retention_bytes,
        required_groups=(RELAY_GROUP,) if with_kafka(settings) else REQUIRED_GROUPS,
    )


def side_spool_settings(settings: Settings) -> SpoolSettings:
    """The same for a process that serves no requests."""
    usual = spool_settings(settings)
    segment_bytes = min(usual.segment_bytes, _SIDE_SEGMENT_BYTES)
    return msgspec.structs.replace(usual, slots=1, segment_bytes=segment_bytes)


def open_side_spool(context: RoleContext, needed_groups: NeededGroups) -> Spool:
    """The spool of a process that serves no requests: it holds payloads, or their results. Blocks.

    Raises:
        SpoolError, OSError: No directory can be made or used.
    """
    return Spool.open(
        context.data_dir.root,
        settings=side_spool_settings(context.settings),
        clock=context.clock,
        logger=context.logger,
        needed_groups=needed_groups,
        owner=context.name,
    )


def dead_letter_notices(context: RoleContext, spool: Spool) -> SpooledNotices | None:
    """What tells of dead letters; None without Kafka, where nobody could hear of them."""
    if not with_kafka(context.settings):
        return None
    return SpooledNotices(spool, context.clock, context.logger)
