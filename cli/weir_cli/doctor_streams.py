"""The windows of spend as ``weir doctor`` sees them: in the data directory of ``weir streams``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from weir_cli.doctor_findings import Finding, Patient, note, ok, wrong
from weir_cli.doctor_kafka import KafkaGroupLag
from weir_cli.doctor_machine import Holder
from weir_core.clock import rfc3339
from weir_streams.errors import StoreBrokenError
from weir_streams.windows.looking import StoreFacts, look_at_store

AREA: Final = "streams"
_COMMAND: Final = "weir streams"


def examine_streams(
    patient: Patient, running: Sequence[Holder], lags: Sequence[KafkaGroupLag]
) -> Iterator[Finding]:
    """Its store, how its last stop was, and its group's lag; nothing where there is no store. Blocks.

    Args:
        patient: Whose data directory may have one.
        running: The processes that work there.
        lags: Those of the consumer groups, as far as Kafka told.
    """
    path = patient.data_dir.streams / "windows.db"
    if not path.exists():
        return
    try:
        facts = look_at_store(path)
    except StoreBrokenError as error:
        yield wrong(AREA, str(error), "start weir streams: it makes the windows anew from what Kafka has")
        return
    yield _published(facts, lags)
    yield from _state(patient, facts, is_running=any(_COMMAND in holder.command for holder in running))


def _published(facts: StoreFacts, lags: Sequence[KafkaGroupLag]) -> Finding:
    group = f"weir.streams.{facts.store_id}"
    behind = [lag.events for lag in lags if lag.group.endswith(group)]
    lag = f"{sum(behind)} events behind" if behind else "its lag is not known"
    line = (
        f"group {group}: {lag}; {facts.unpublished} windows and {facts.unpublished_alerts} alerts are not "
        "published"
    )
    return (note if sum(behind) or facts.unpublished or facts.unpublished_alerts else ok)(AREA, line)


def _state(patient: Patient, facts: StoreFacts, *, is_running: bool) -> Iterator[Finding]:
    wanted_s = patient.settings.streams.window_seconds
    if facts.length_s != wanted_s:
        yield note(
            AREA,
            f"its windows have {facts.length_s} s, streams.window_seconds is {wanted_s}",
            "the next start makes all windows anew from what Kafka has",
        )
    if facts.complete_from_us:
        yield note(
            AREA,
            f"windows before {rfc3339(facts.complete_from_us)} may lack events that Kafka had deleted",
            "lengthen kafka.analytics_days, or keep weir streams running",
        )
    if is_running:
        yield ok(AREA, "weir streams keeps the windows")
    elif facts.in_use:
        yield note(
            AREA,
            "the last stop was not clean, and weir streams does not run",
            "start it: it goes on from its last transaction, loses nothing and publishes once all is read",
        )
    else:
        yield note(AREA, "weir streams does not run; its last stop was clean", "start it")
