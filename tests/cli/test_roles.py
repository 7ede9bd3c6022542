from __future__ import annotations

from weir_cli.spools import spool_settings
from weir_collectors.kinds import ACCOUNTANT_GROUP, EventKind
from weir_core.settings import Settings, SpoolOptions
from weir_streams.payloads import PAYLOAD_GROUP


def test_the_spool_table_reaches_the_spool_in_its_own_units() -> None:
    options = SpoolOptions.model_validate(
        {"sync": "always", "segment_bytes": "2 MiB", "retention_hours": 0.5, "retention_bytes": 7}
    )
    spool = spool_settings(Settings(spool=options, max_in_flight=9))
    assert (spool.sync, spool.segment_bytes, spool.retention_s) == ("always", 2 * 1024 * 1024, 1800.0)
    assert (spool.retention_bytes, spool.slots) == (7, 9)


def test_retention_waits_for_the_deciding_groups_the_accountant_and_the_delivery_of_payloads() -> None:
    groups = {kind.group for kind in EventKind} | {ACCOUNTANT_GROUP, PAYLOAD_GROUP}
    assert set(spool_settings(Settings()).required_groups) == groups


def test_the_smallest_spool_that_settings_allow_can_be_opened() -> None:
    smallest = SpoolOptions.model_validate({"segment_bytes": "1 MiB", "max_bytes": "16 MiB"})
    spool_settings(Settings(spool=smallest, max_in_flight=65536))
