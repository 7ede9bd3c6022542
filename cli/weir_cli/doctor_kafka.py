"""Kafka as ``weir doctor`` sees it: brokers, topics, and how far behind each consumer group is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]

from weir_cli.doctor_findings import Finding, Patient, note, ok, wrong
from weir_cli.kafka import kafka_settings, topic_options
from weir_core.errors import WeirError
from weir_streams.kafka.closing import close_connections, stop_consumer
from weir_streams.kafka.failures import translated
from weir_streams.kafka.reaching import reach
from weir_streams.kafka.settings import KafkaSettings
from weir_streams.kafka.topics import open_topic_admin, planned_topics
from weir_streams.payloads import RESULT_GROUPS

AREA: Final = "kafka"
_OURS: Final = "weir."
_OF_ONE_PROCESS: Final = (RESULT_GROUPS, "weir.streams.")
_EMPTY: Final = "Empty"
_PATIENCE_S: Final = 5.0


class KafkaGroupLag(msgspec.Struct, frozen=True):
    """One group in one topic; ``late`` says that it stands before half of the topic's retention.

    ``retired``: the group is one process's own and has no member, so that nobody waits for what it lacks.
    """

    group: str
    topic: str
    events: int
    late: bool
    retired: bool = False


async def examine_kafka(patient: Patient) -> tuple[list[Finding], list[KafkaGroupLag]]:
    """Everything about it; nothing where it is not configured."""
    if patient.settings.kafka.bootstrap_servers is None:
        return [ok(AREA, "not configured; collectors read the spools in place")], []
    try:
        settings = msgspec.structs.replace(
            kafka_settings(patient.settings.kafka), request_timeout_s=_PATIENCE_S
        )
        findings = await _topics(patient, settings)
        lags = await group_lags(settings, _retentions(patient, settings), patient.clock.wall_us() // 1000)
    except WeirError as error:
        return [
            wrong(AREA, str(error), "start the brokers or correct kafka.*; the spool keeps events meanwhile")
        ], []
    return [*findings, *map(lag_finding, lags)], lags


async def group_lags(
    settings: KafkaSettings, retention_ms: Mapping[str, int], now_ms: int
) -> list[KafkaGroupLag]:
    """How far each group of this installation is behind, without joining any.

    Args:
        settings: The cluster and the names in it.
        retention_ms: By topic in the cluster; a topic that is not named is never ``late``.
        now_ms: Milliseconds since the epoch.

    Raises:
        KafkaRefusedError: The brokers do not let us.
        LogUnavailableError: Retryable; they do not answer.
    """
    async with _clients(settings) as (admin, reader):
        with translated("reading the groups' offsets"):
            found = []
            names = [name for name, *_ in await admin.list_consumer_groups()]
            ours = sorted(name for name in names if name.startswith(settings.group(_OURS)))
            retired = await _retired(admin, settings, ours)
            for group in ours:
                found += [
                    msgspec.structs.replace(lag, retired=group in retired)
                    for lag in await _lags_of(admin, reader, group, retention_ms, now_ms)
                ]
    return found


async def _retired(admin: Any, settings: KafkaSettings, groups: Sequence[str]) -> set[str]:
    """Those that belong to one process each and that nobody is a member of."""
    own = tuple(settings.group(name) for name in _OF_ONE_PROCESS)
    described = await admin.describe_consumer_groups([group for group in groups if group.startswith(own)])
    return {name for answer in described for _, name, state, *_ in answer.groups if state == _EMPTY}


async def _lags_of(
    admin: Any, reader: Any, group: str, retention_ms: Mapping[str, int], now_ms: int
) -> list[KafkaGroupLag]:
    offsets = {place: meta.offset for place, meta in (await admin.list_consumer_group_offsets(group)).items()}
    if not offsets:
        return []
    ends = await reader.end_offsets(list(offsets))
    halves = {
        place: now_ms - retention_ms[place.topic] // 2 for place in offsets if place.topic in retention_ms
    }
    young = await reader.offsets_for_times(halves) if halves else {}
    by_topic: dict[str, list[tuple[int, bool]]] = {}
    for place, offset in offsets.items():
        events = max(0, ends[place] - max(0, offset))
        first = young.get(place)
        late = events > 0 and place in halves and (first is None or offset < first.offset)
        by_topic.setdefault(place.topic, []).append((events, late))
    return [
        KafkaGroupLag(group, topic, sum(events for events, _ in parts), any(late for _, late in parts))
        for topic, parts in sorted(by_topic.items())
    ]


async def _topics(patient: Patient, settings: KafkaSettings) -> list[Finding]:
    plan = planned_topics(settings, topic_options(patient.settings))
    async with open_topic_admin(settings) as admin:
        differences = await admin.differences(plan)
    if not differences:
        return [
            ok(AREA, f"{settings.bootstrap_servers} answers, all {len(plan)} topics are as they should be")
        ]
    missing = [one for one in differences if one.found is None]
    return [
        ok(AREA, f"{settings.bootstrap_servers} answers"),
        *(wrong(AREA, str(one), "run weir topics apply") for one in missing),
        *(note(AREA, str(one), "weir topics apply changes it") for one in differences if one not in missing),
    ]


def _retentions(patient: Patient, settings: KafkaSettings) -> dict[str, int]:
    plan = planned_topics(settings, topic_options(patient.settings))
    return {one.name: int(one.configs["retention.ms"]) for one in plan if "retention.ms" in one.configs}


def lag_finding(lag: KafkaGroupLag) -> Finding:
    """What is to be said of a group's lag."""
    line = f"group {lag.group} is {lag.events} events behind in {lag.topic}"
    if lag.retired:
        return note(
            AREA,
            f"{line}, and its process is away",
            "start it; Kafka forgets a group whose process is gone for good (offsets.retention.minutes)",
        )
    if lag.late:
        fix = "add collector workers, see their log and breakers, or lengthen the topic's retention"
        return wrong(AREA, f"{line}, past half of its retention", fix)
    return (note if lag.events else ok)(AREA, line)


@asynccontextmanager
async def _clients(settings: KafkaSettings) -> AsyncIterator[tuple[Any, Any]]:
    options = await reach(settings)
    admin, reader = AIOKafkaAdminClient(**options), AIOKafkaConsumer(**options, enable_auto_commit=False)
    try:
        with translated("reading the groups' offsets"):
            await admin.start()
            await reader.start()
        yield admin, reader
    finally:
        await stop_consumer(reader)
        await close_connections(admin._client)
