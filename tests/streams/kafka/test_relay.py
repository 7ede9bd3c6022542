"""The relay on a real Kafka: everything arrives, in order, whatever is refused or away."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path

import jsonschema
import msgspec
import pytest
from tests.streams.kafka.bench import admin_client, kafka_settings, make_topics
from tests.streams.support import STARTED_US, RecordingLogger, all_events, append, open_spool
from tests.support.kafka_topics import arrived

from weir_core.clock import Clock, SystemClock, rfc3339
from weir_streams.errors import LogUnavailableError
from weir_streams.events import (
    ANALYTICS_TOPIC,
    DEAD_LETTER_TOPIC,
    EVENT_TOPICS,
    PROXY_LOG_TOPIC,
    EncodedEvent,
)
from weir_streams.kafka.aside import RefusedFile
from weir_streams.kafka.publisher import Publisher
from weir_streams.kafka.relay import Relay
from weir_streams.kafka.resending import resend
from weir_streams.kafka.settings import KafkaSettings, RelaySettings
from weir_streams.kafka.topic_configs import set_configs
from weir_streams.notices import DeadLetterNotice, SpooledNotices
from weir_streams.payloads import (
    EDGE_PAYLOAD_RESULT_TOPIC,
    EDGE_PAYLOAD_TOPIC,
    EdgePayload,
    encode_payload,
)
from weir_streams.schema_files import event_schema

pytestmark = pytest.mark.system

QUICK = RelaySettings(commit_s=0.01, drain_s=30)


def encoded_payload(payload_id: str, content: str, spool_id: str, seq: int) -> EncodedEvent:
    return encode_payload(
        EdgePayload(
            event_id=payload_id,
            spool_id=spool_id,
            spool_seq=seq,
            timestamp=rfc3339(STARTED_US),
            edge_id="edge-1",
            edge_namespace="",
            plugin_id=7,
            payload=content,
        )
    )


HOUR_MS = 3600 * 1000


class ClockAhead(SystemClock):
    """The clock of a host that is set wrong by so many seconds."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def wall_us(self) -> int:
        return super().wall_us() + self._seconds * 1_000_000


def relay_of(
    root: Path, settings: KafkaSettings, relay: RelaySettings = QUICK, clock: Clock | None = None
) -> Relay:
    return Relay(
        root,
        connect=partial(Publisher.open, settings, relay),
        settings=relay,
        clock=clock or SystemClock(),
        logger=RecordingLogger(),
    )


def stopped() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def drain(
    root: Path, settings: KafkaSettings, relay: RelaySettings = QUICK, clock: Clock | None = None
) -> Relay:
    """Relay what is there and stop."""
    relaying = relay_of(root, settings, relay, clock)
    assert await relaying.run(stopped()) == 0
    return relaying


@asynccontextmanager
async def relaying(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run(asyncio.Event()))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_every_event_arrives_once_with_its_key_and_context(kafka: str, tmp_path: Path) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings)
    with closing(open_spool(tmp_path)) as spool:
        for number in range(200):
            append(spool, number)
    relay = await drain(tmp_path, settings)
    records = await arrived(settings)
    written = {event["event_id"]: event for event in all_events(tmp_path)}
    assert {record.event["event_id"]: record.event for record in records} == written
    assert len(records) == relay.status.sent_events == 600
    assert {record.key for record in records} == {b"7"}
    assert {record.timestamp_ms for record in records} == {STARTED_US // 1000}
    one = records[0]
    assert one.headers["ce_id"] == one.event["event_id"]
    assert one.headers["ce_subject"] == one.event["request_id"]
    assert one.headers["content-type"] == "application/json"


async def test_while_kafka_is_away_what_waits_is_known_and_grows(tmp_path: Path) -> None:
    async def connect() -> Publisher:
        raise LogUnavailableError("no broker answers")

    relay = Relay(tmp_path, connect=connect, settings=QUICK, clock=SystemClock(), logger=RecordingLogger())
    with closing(open_spool(tmp_path)) as spool:
        append(spool, 1)
        async with relaying(relay):
            while relay.status.backlog.events < 3:
                await asyncio.sleep(0.01)
            append(spool, 2)
            while relay.status.backlog.events < 6:
                await asyncio.sleep(0.01)
    assert not relay.status.connected
    assert relay.status.backlog.oldest_us is not None


async def test_a_stop_does_not_wait_for_a_kafka_that_is_away_when_nothing_is_left(tmp_path: Path) -> None:
    tried = asyncio.Event()

    async def connect() -> Publisher:
        tried.set()
        raise LogUnavailableError("no broker answers")

    never = msgspec.structs.replace(QUICK, drain_s=3600)
    relay = Relay(tmp_path, connect=connect, settings=never, clock=SystemClock(), logger=RecordingLogger())
    open_spool(tmp_path).close()
    stop = asyncio.Event()
    draining = asyncio.create_task(relay.run(stop))
    await tried.wait()
    stop.set()
    async with asyncio.timeout(30):
        assert await draining == 0


async def test_the_events_of_a_key_and_spool_keep_their_order(kafka: str, tmp_path: Path) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings, partitions=4)
    with closing(open_spool(tmp_path)) as one, closing(open_spool(tmp_path)) as two:
        for number in range(300):
            append(one if number % 3 else two, number)
    await drain(tmp_path, settings, msgspec.structs.replace(QUICK, batch_bytes=4096, round_bytes=16384))
    by_place: dict[tuple[str, str], list[int]] = {}
    for record in await arrived(settings):
        by_place.setdefault((record.topic, record.event["spool_id"]), []).append(record.event["spool_seq"])
    assert len(by_place) == 6
    assert all(seqs == sorted(seqs) for seqs in by_place.values())


async def test_a_relay_goes_on_where_the_last_one_stopped(kafka: str, tmp_path: Path) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings)
    with closing(open_spool(tmp_path)) as spool:
        append(spool, 1)
        await drain(tmp_path, settings)
        append(spool, 2)
        again = await drain(tmp_path, settings)
    assert again.status.sent_events == 3
    assert len(await arrived(settings)) == 6


async def test_what_is_too_large_arrives_without_bodies(kafka: str, tmp_path: Path) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings, **{"max.message.bytes": "20000"})
    relay = msgspec.structs.replace(QUICK, compression="none", batch_bytes=200_000)
    with closing(open_spool(tmp_path)) as spool:
        for number in range(20):
            append(
                spool, number, request_body="x" * 18_000 if number == 7 else "short", response_body="y" * 5000
            )
    await drain(tmp_path, settings, relay)
    logs = {
        record.event["request_id"]: record.event
        for record in await arrived(settings)
        if record.topic == PROXY_LOG_TOPIC
    }
    assert len(logs) == 20
    assert [name for name, log in logs.items() if log["request_body"] is None] == ["request-7"]
    assert logs["request-7"]["request_body_truncated"]
    assert not (tmp_path / "relay").exists()


async def test_what_is_too_large_in_every_form_is_set_aside_and_holds_nothing_up(
    kafka: str, tmp_path: Path
) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings, **{"max.message.bytes": "6000"})
    relay = msgspec.structs.replace(QUICK, compression="none")
    with closing(open_spool(tmp_path)) as spool:
        for number in range(10):
            append(spool, number, path="/" + "p" * 8000 if number == 4 else "/v1")
    status = (await drain(tmp_path, settings, relay)).status
    assert status.events_set_aside == 1
    assert len({record.event["event_id"] for record in await arrived(settings)}) == 29
    [line] = (tmp_path / "relay" / "refused.jsonl").read_bytes().splitlines()
    kept = msgspec.json.decode(line)
    assert kept["topic"] == PROXY_LOG_TOPIC
    assert msgspec.json.decode(base64.b64decode(kept["value_base64"]))["request_id"] == "request-4"
    assert "MessageSizeTooLarge" in kept["reason"]


async def test_events_whose_own_time_is_refused_arrive_with_the_time_of_the_relay(
    kafka: str, tmp_path: Path
) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings, **{"message.timestamp.before.max.ms": str(HOUR_MS)})
    with closing(open_spool(tmp_path)) as spool:
        for number in range(100):
            append(spool, number)
    began_ms = SystemClock().wall_us() // 1000
    status = (await drain(tmp_path, settings)).status
    records = await arrived(settings)
    assert {record.event["event_id"] for record in records} == {
        event["event_id"] for event in all_events(tmp_path)
    }
    assert all(record.timestamp_ms >= began_ms for record in records)
    assert status.events_restamped == 300
    assert status.events_set_aside == 0


@pytest.mark.parametrize("ahead_s", [2 * 3600, 400 * 24 * 3600])
async def test_events_of_a_host_whose_clock_is_ahead_of_the_brokers_arrive_all_the_same(
    kafka: str, tmp_path: Path, ahead_s: int
) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings)
    clock = ClockAhead(ahead_s)
    with closing(open_spool(tmp_path)) as spool:
        for number in range(20):
            append(spool, number, started_us=clock.wall_us())
    status = (await drain(tmp_path, settings, clock=clock)).status
    records = await arrived(settings)
    assert {record.event["event_id"] for record in records} == {
        event["event_id"] for event in all_events(tmp_path)
    }
    # Neither the event's time nor the relay's was taken, so it stands there without any.
    assert {record.timestamp_ms for record in records} == {-1}
    assert status.events_restamped == 60
    assert status.events_set_aside == 0


async def test_what_is_both_too_large_and_of_another_time_arrives_without_bodies(
    kafka: str, tmp_path: Path
) -> None:
    settings = kafka_settings(kafka)
    configs = {"max.message.bytes": "20000", "message.timestamp.before.max.ms": str(HOUR_MS)}
    await make_topics(settings, **configs)
    relay = msgspec.structs.replace(QUICK, compression="none")
    with closing(open_spool(tmp_path)) as spool:
        for number in range(3):
            append(spool, number, request_body="x" * 25_000 if number == 1 else "short")
    status = (await drain(tmp_path, settings, relay)).status
    logs = [record.event for record in await arrived(settings) if record.topic == PROXY_LOG_TOPIC]
    assert {log["request_id"]: log["request_body"] is None for log in logs} == {
        "request-0": False,
        "request-1": True,
        "request-2": False,
    }
    assert status.events_set_aside == 0


async def test_a_payload_that_kafka_refuses_is_set_aside_and_its_sender_told_so(
    kafka: str, tmp_path: Path
) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings, topics=[EDGE_PAYLOAD_TOPIC], **{"max.message.bytes": "1000"})
    await make_topics(settings, topics=[EDGE_PAYLOAD_RESULT_TOPIC])
    with closing(open_spool(tmp_path)) as spool:
        for number in range(3):
            spool.append_event(partial(encoded_payload, f"p-{number}", "x" * (3000 if number == 1 else 3)))
    relay = msgspec.structs.replace(QUICK, compression="none")
    assert (await drain(tmp_path, settings, relay)).status.events_set_aside == 1
    arrived_payloads = await arrived(settings, [EDGE_PAYLOAD_TOPIC])
    assert {record.event["event_id"] for record in arrived_payloads} == {"p-0", "p-2"}
    [result] = await arrived(settings, [EDGE_PAYLOAD_RESULT_TOPIC])
    assert result.event["payload_id"] == "p-1"
    assert (result.event["success"], result.event["dead_letter"]) == (False, True)
    assert "MessageSizeTooLarge" in result.event["error"]
    jsonschema.validate(result.event, event_schema(EDGE_PAYLOAD_RESULT_TOPIC))


async def test_what_is_read_again_for_another_refusal_is_set_aside_only_once(
    kafka: str, tmp_path: Path
) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings, topics=[*EVENT_TOPICS, EDGE_PAYLOAD_TOPIC], **{"max.message.bytes": "6000"})
    await make_topics(settings, topics=[EDGE_PAYLOAD_RESULT_TOPIC])
    relay = msgspec.structs.replace(QUICK, compression="none")
    with closing(open_spool(tmp_path)) as spool:
        # Without bodies to leave out, the payload is given up a try before the proxy log is.
        spool.append_event(partial(encoded_payload, "p-1", "x" * 9000))
        append(spool, 4, path="/" + "p" * 8000)
    status = (await drain(tmp_path, settings, relay)).status
    assert status.events_set_aside == 2
    assert len((tmp_path / "relay" / "refused.jsonl").read_bytes().splitlines()) == 2


async def test_notices_of_dead_letters_go_the_way_of_events(kafka: str, tmp_path: Path) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings, topics=[DEAD_LETTER_TOPIC])
    notice = DeadLetterNotice(topic=ANALYTICS_TOPIC, event_id="e-1", collector="sink", reason="away", tries=3)
    with closing(open_spool(tmp_path)) as spool:
        SpooledNotices(spool, SystemClock(), RecordingLogger()).write([notice])
    await drain(tmp_path, settings)
    [told] = await arrived(settings, [DEAD_LETTER_TOPIC])
    assert (told.key, told.event["event_id"]) == (b"sink", "e-1")
    assert told.headers["ce_id"] == told.event["notice_id"]


async def test_what_was_set_aside_arrives_once_its_topic_is_mended_and_it_is_sent_again(
    kafka: str, tmp_path: Path
) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings, **{"max.message.bytes": "6000"})
    relay = msgspec.structs.replace(QUICK, compression="none")
    with closing(open_spool(tmp_path)) as spool:
        append(spool, 4, path="/" + "p" * 8000)
    assert (await drain(tmp_path, settings, relay)).status.bytes_aside > 8000
    async with admin_client(settings) as admin:
        wider = {"max.message.bytes": "60000"}
        await set_configs(admin._client, settings.topic(PROXY_LOG_TOPIC), wider)
    file = RefusedFile(tmp_path, SystemClock())
    assert resend(file, lambda: open_spool(tmp_path)).events == 1
    assert (await drain(tmp_path, settings, relay)).status.bytes_aside == 0
    [log] = await arrived(settings, [PROXY_LOG_TOPIC])
    assert log.event["request_id"] == "request-4"
    assert log.event["path"].endswith("ppp")


async def test_a_topic_that_is_made_late_is_waited_for(kafka: str, tmp_path: Path) -> None:
    settings = kafka_settings(kafka, request_timeout_s=1.0)
    with closing(open_spool(tmp_path)) as spool:
        append(spool, 1)
    relay = relay_of(tmp_path, settings)
    async with relaying(relay):
        while not relay.status.last_error:
            await asyncio.sleep(0.01)
        await make_topics(settings)
        while relay.status.sent_events < 3:
            await asyncio.sleep(0.01)
    assert {record.topic for record in await arrived(settings)} == set(EVENT_TOPICS)


async def test_events_are_relayed_as_they_are_written(kafka: str, tmp_path: Path) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings)
    relay = relay_of(tmp_path, settings)
    async with relaying(relay):
        with closing(open_spool(tmp_path)) as spool:
            for number in range(5):
                append(spool, number)
                while relay.status.sent_events < 3 * (number + 1):
                    await asyncio.sleep(0.005)
    assert len([one for one in await arrived(settings) if one.topic == ANALYTICS_TOPIC]) == 5


async def test_a_stop_ends_the_pause_after_a_failure_so_that_there_is_time_to_drain(
    kafka: str, tmp_path: Path
) -> None:
    settings = kafka_settings(kafka)
    await make_topics(settings)
    with closing(open_spool(tmp_path)) as spool:
        append(spool, 1)
    stop, pausing = asyncio.Event(), asyncio.Event()

    async def connect() -> Publisher:
        if not stop.is_set():
            raise LogUnavailableError("the brokers are away")
        return await Publisher.open(settings, QUICK)

    async def sleep(seconds: float) -> None:
        pausing.set()
        await asyncio.Event().wait()

    relay = Relay(
        tmp_path,
        connect=connect,
        settings=QUICK,
        clock=SystemClock(),
        logger=RecordingLogger(),
        sleep=sleep,
    )
    draining = asyncio.create_task(relay.run(stop))
    await pausing.wait()
    stop.set()
    assert await draining == 0
    assert relay.status.sent_events == 3


async def test_what_cannot_be_drained_is_counted(tmp_path: Path) -> None:
    with closing(open_spool(tmp_path)) as spool:
        append(spool, 1)
        append(spool, 2)
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    relay = relay_of(tmp_path, settings, RelaySettings(drain_s=0.2))
    assert await relay.run(stopped()) == 6
    assert "Kafka is not there" in relay.status.last_error
