"""What became of events, as ``weir doctor`` tells it: from the processes' counters, or from their reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from weir_cli.doctor_findings import Finding, in_time, note, ok, wrong
from weir_collectors.status import WorkerStatus

AREA: Final = "events"
_PRECISE_S: Final = 10.0
_RESULTS: Final = ("handled", "passed", "failed")


class GroupFacts(msgspec.Struct):
    """One consumer group over its processes; counts since these began, ``age_s`` of its last event."""

    decided: int = 0
    stored: int = 0
    age_s: float = 0.0
    stuck: bool = False
    late: bool = False


class CollectorFacts(msgspec.Struct):
    """One collector over its processes; counts since these began."""

    handled: int = 0
    passed: int = 0
    failed: int = 0
    stored: int = 0


class EventFacts(msgspec.Struct):
    """By the names of groups and of collectors."""

    groups: dict[str, GroupFacts]
    collectors: dict[str, CollectorFacts]


def facts_of_reports(statuses: Iterable[WorkerStatus]) -> EventFacts:
    """What the collectors processes of an installation reported."""
    groups: dict[str, GroupFacts] = defaultdict(GroupFacts)
    collectors: dict[str, CollectorFacts] = defaultdict(CollectorFacts)
    for status in statuses:
        for one in (*status.kinds, *status.observers):
            group = groups[one.group]
            group.decided += one.decided
            group.stored += one.stored
            group.age_s = max(group.age_s, one.age_s or 0.0)
            group.stuck |= one.stuck
            group.late |= one.late
        for sink in status.collectors:
            collector = collectors[sink.name]
            collector.handled += sink.handled
            collector.passed += sink.passed
            collector.failed += sink.failed
            collector.stored += sink.stored
    return EventFacts(groups, collectors)


def facts_of_counters(directory: Path) -> EventFacts:
    """What the processes of a data directory count, from their mapped files. Blocks."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]  # untyped upstream
    values: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for family in registry.collect():
        for sample in family.samples:
            labels = sample.labels
            key = (labels.get("group") or labels.get("collector", ""), labels.get("result", ""))
            values[sample.name][key] = sample.value

    def of(name: str, owner: str, result: str = "") -> float:
        return values[f"weir_{name}"].get((owner, result), 0.0)

    return EventFacts(
        {
            group: GroupFacts(
                decided=int(of("collectors_decided_total", group)),
                stored=int(of("collectors_stored_total", group)),
                age_s=of("collectors_event_age_seconds", group),
                stuck=of("collectors_stuck", group) > 0,
                late=of("collectors_late", group) > 0,
            )
            for group, _ in [*values["weir_collectors_decided_total"]]
        },
        {
            name: CollectorFacts(
                **{result: int(of("collector_events_total", name, result)) for result in _RESULTS},
                stored=int(of("collector_stored_total", name)),
            )
            for name, _ in [*values["weir_collector_stored_total"]]
        },
    )


def examine_events(facts: EventFacts) -> Iterator[Finding]:
    """A line for each group that has had events, and for each collector."""
    for name, group in sorted(facts.groups.items()):
        if group.decided or group.stuck or group.late:
            yield _group(name, group)
    for name, collector in sorted(facts.collectors.items()):
        line = (
            f"collector {name}: {collector.handled} handled, {collector.passed} passed on, "
            f"{collector.failed} given up, {collector.stored} stored"
        )
        if collector.failed:
            yield note(AREA, line, "weir dead-letters list shows why")
        else:
            yield ok(AREA, line)


def _age(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _PRECISE_S else in_time(seconds)


def _group(name: str, group: GroupFacts) -> Finding:
    line = (
        f"group {name}: {group.decided} decided about, {group.stored} of them stored, the last "
        f"{_age(group.age_s)} after its time"
    )
    if group.stuck:
        return wrong(AREA, f"{line}; it is stuck", "see the log of the collectors for what it waits for")
    if group.late:
        fix = "add collector workers, see their log and breakers, or lengthen the topic's retention"
        return wrong(AREA, f"{line}; it is late", fix)
    return ok(AREA, line)
