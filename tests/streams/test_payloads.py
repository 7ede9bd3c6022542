"""Edge payloads in the spool: sent durably, counted until their result, in one order for each worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.streams.support import (
    SMALL,
    RecordingLogger,
    admission,
    append,
    family,
    file_size_limit,
    open_spool,
    reader_of,
)

from weir_core.clock import SystemClock
from weir_streams.cloudevents import kafka_headers
from weir_streams.embedded import EmbeddedLog
from weir_streams.errors import PayloadRefusedError, SpoolClosedError, SpoolFullError, SpoolWriteError
from weir_streams.events import EncodedEvent
from weir_streams.home import owner_of
from weir_streams.kafka.outgoing import Dispatch
from weir_streams.log import LogRecord, Partition
from weir_streams.payloads import (
    EDGE_PAYLOAD_RESULT_TOPIC,
    EDGE_PAYLOAD_TOPIC,
    MAX_MESSAGE_BYTES,
    EdgePayload,
    EdgePayloadResult,
    decode_payload,
    decode_result,
    encode_payload,
    encode_result,
)
from weir_streams.payloads_pending import PendingPayloads
from weir_streams.payloads_sending import PayloadSender
from weir_streams.schema_files import event_schema
from weir_streams.settings import MIB
from weir_streams.spool import Spool

pytestmark = pytest.mark.usefixtures("no_keeper")
TIME = "2026-11-22T14:00:00.000000Z"


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = open_spool(tmp_path, msgspec.structs.replace(SMALL, segment_bytes=8 * MIB, max_bytes=64 * MIB))
    yield spool
    spool.close()


def sender(spool: Spool, pending: PendingPayloads) -> PayloadSender:
    return PayloadSender(spool, pending, edge_id="edge-1", edge_namespace="team", clock=SystemClock())


def payload(**changes: object) -> EdgePayload:
    fields = {"event_id": "p-1", "timestamp": TIME, "edge_id": "e", "edge_namespace": "", "plugin_id": 7}
    return EdgePayload(**(fields | {"payload": "{}"} | changes))  # type: ignore[arg-type]  # a test's own


def result(payload_id: str) -> EdgePayloadResult:
    return EdgePayloadResult(
        event_id="r-1",
        timestamp=TIME,
        payload_id=payload_id,
        edge_id="e",
        edge_namespace="",
        plugin_id=7,
        success=True,
        handled=True,
    )


def spooled(root: Path, spool: Spool) -> list[EncodedEvent]:
    reader = reader_of(root / "spool" / spool.id)
    return [event for record in reader.read(64 * MIB) for event in record.events]


async def test_a_sent_payload_stands_in_the_spool_when_send_returns(tmp_path: Path, spool: Spool) -> None:
    pending = PendingPayloads(tmp_path, "proxy-0")
    count = await sender(spool, pending).send(7, "cache", b'{"hits":1}', "c-1", {"kind": "stats"})
    (event,) = spooled(tmp_path, spool)
    sent = decode_payload(event.value)
    assert (event.topic, event.key, count) == (EDGE_PAYLOAD_TOPIC, b"team/edge-1/7", 1)
    assert (sent.content(), sent.correlation_id, sent.metadata) == (b'{"hits":1}', "c-1", {"kind": "stats"})
    assert (sent.plugin_id, sent.plugin_slug, sent.edge_id, sent.edge_namespace) == (
        7,
        "cache",
        "edge-1",
        "team",
    )
    assert (sent.spool_id, sent.spool_seq) == (spool.id, 1)


async def test_a_payload_is_any_bytes(tmp_path: Path, spool: Spool) -> None:
    content = bytes(range(256))
    await sender(spool, PendingPayloads(tmp_path, "proxy-0")).send(7, "cache", content, "", {})
    (event,) = spooled(tmp_path, spool)
    assert decode_payload(event.value).content() == content


async def test_payloads_and_families_share_one_spool_and_its_numbers(tmp_path: Path, spool: Spool) -> None:
    append(spool, 1)
    await sender(spool, PendingPayloads(tmp_path, "proxy-0")).send(7, "cache", b"x", "", {})
    append(spool, 2)
    assert [event.topic for event in spooled(tmp_path, spool)].index(EDGE_PAYLOAD_TOPIC) == 3
    assert spool.next_seq == 8


def test_a_text_of_control_characters_goes_as_base64_rather_than_not_at_all() -> None:
    text = "\x01" * MIB
    encoded = encode_payload(payload(payload=text))
    assert len(encoded.value) <= MAX_MESSAGE_BYTES
    assert decode_payload(encoded.value).content() == text.encode()


def test_a_payload_that_is_too_large_in_every_form_is_refused() -> None:
    metadata = {f"key-{number}": "\x01" * 4096 for number in range(50)}
    with pytest.raises(PayloadRefusedError, match="2097152"):
        encode_payload(payload(payload="\x01" * MIB, metadata=metadata))


async def test_payloads_never_take_the_room_that_admitted_requests_own(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, msgspec.structs.replace(SMALL, max_bytes=MIB))
    slots = [spool.admit(admission(number)) for number in range(3)]
    send = sender(spool, PendingPayloads(tmp_path, "proxy-0")).send

    async def fill() -> None:
        for _ in range(100):
            await send(7, "cache", b"x" * 50_000, "", {})

    with pytest.raises(SpoolFullError, match="no room"):
        await fill()
    for number, slot in enumerate(slots):
        spool.append(slot, family(number, slot.event_ids))
    spool.close()


async def test_a_refused_write_fails_the_payload_and_stops_the_spool_until_the_disk_is_back(
    tmp_path: Path, spool: Spool
) -> None:
    pending = PendingPayloads(tmp_path, "proxy-0")
    send = sender(spool, pending).send
    append(spool, 1)
    with file_size_limit(4096), pytest.raises(SpoolWriteError):
        await send(7, "cache", b"x" * 8000, "", {})
    assert (pending.count, spool.healthy) == (0, False)
    with pytest.raises(SpoolFullError):
        await send(7, "cache", b"y", "", {})
    spool._write_refused()
    await send(7, "cache", b"z", "", {})
    *_, event = spooled(tmp_path, spool)
    assert decode_payload(event.value).content() == b"z"


async def test_a_closed_spool_takes_no_payload(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.close()
    with pytest.raises(SpoolClosedError):
        await sender(spool, PendingPayloads(tmp_path, "proxy-0")).send(7, "cache", b"x", "", {})


async def test_what_is_pending_survives_the_process(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    pending = PendingPayloads(tmp_path, "proxy-0")
    send = sender(spool, pending).send
    for _ in range(3):
        await send(7, "cache", b"x", "", {})
    pending.write(pending.snapshot(spool.id, spool.next_seq))
    for _ in range(2):
        await send(7, "cache", b"x", "", {})
    first = decode_payload(spooled(tmp_path, spool)[0].value).event_id
    later = PendingPayloads(tmp_path, "proxy-0")
    later.recover(tmp_path / "spool" / spool.id, SystemClock().monotonic)
    assert later.count == 5
    assert later.settle(first)
    assert not later.settle(first)
    assert later.count == 4
    spool.close()


def test_the_edge_counts_the_payloads_of_all_its_workers(tmp_path: Path) -> None:
    one, other = PendingPayloads(tmp_path, "proxy-0"), PendingPayloads(tmp_path, "collectors")
    other.add("p-1", 10)
    other.write(other.snapshot("spool", 2))
    one.add("p-2", 10)
    one.look_at_others()
    assert one.count == 2


async def test_a_worker_that_waits_for_too_many_results_sends_no_more(tmp_path: Path, spool: Spool) -> None:
    pending = PendingPayloads(tmp_path, "proxy-0")
    pending.add("huge", 2**30)
    with pytest.raises(SpoolFullError, match="wait for control"):
        await sender(spool, pending).send(7, "cache", b"x", "", {})


def test_a_worker_finds_its_own_spool_again_beside_others(tmp_path: Path) -> None:
    def opened(owner: str) -> Spool:
        return Spool.open(
            tmp_path, settings=SMALL, clock=SystemClock(), logger=RecordingLogger(), owner=owner
        )

    spools = {owner: opened(owner) for owner in ("proxy-0", "proxy-1", "collectors")}
    before = {owner: spool.id for owner, spool in spools.items()}
    for spool in spools.values():
        spool.close()
    after = {owner: opened(owner) for owner in ("collectors", "proxy-1", "proxy-0")}
    assert {owner: spool.id for owner, spool in after.items()} == before
    for spool in after.values():
        spool.close()


def test_a_spool_without_an_owner_is_taken_over_by_name(tmp_path: Path) -> None:
    nameless = open_spool(tmp_path)
    nameless.close()
    named = Spool.open(
        tmp_path, settings=SMALL, clock=SystemClock(), logger=RecordingLogger(), owner="proxy-0"
    )
    assert named.id == nameless.id
    assert owner_of(tmp_path / "spool" / named.id) == "proxy-0"
    named.close()


async def test_results_are_read_from_their_owners_spool_alone(tmp_path: Path) -> None:
    logger, clock = RecordingLogger(), SystemClock()
    control = Spool.open(tmp_path, settings=SMALL, clock=clock, logger=logger, owner="control")
    proxy = Spool.open(tmp_path, settings=SMALL, clock=clock, logger=logger, owner="proxy-0")
    for spool in (control, proxy):
        spool.append_event(lambda spool_id, _: encode_result(result(spool_id)))
    log = EmbeddedLog(tmp_path, clock=clock, logger=logger, owner="control")
    consumer = await log.consumer("weir.edge-results.proxy-0", (EDGE_PAYLOAD_RESULT_TOPIC,))
    found = await consumer.poll(10, 0.2)
    assert [decode_result(record.value).payload_id for record in found] == [control.id]
    await consumer.close()
    for spool in (control, proxy):
        spool.close()


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (encode_payload(payload()), "weir.edge_payload.v1"),
        (encode_result(result("p-1")), "weir.edge_payload_result.v1"),
    ],
)
def test_the_relay_sends_payloads_and_results_as_cloud_events(event: EncodedEvent, name: str) -> None:
    headers = dict(kafka_headers(event))
    assert headers["ce_type"] == name.encode()
    assert headers["ce_subject"] == b"plugins/7"
    record = LogRecord(Partition(event.topic, "spool"), 1, event.key, event.value)
    outgoing, unsendable = Dispatch(SystemClock()).prepare([record])
    assert ([one.value for one in outgoing], unsendable) == ([event.value], [])


@pytest.mark.parametrize("kind", [EdgePayload, EdgePayloadResult])
def test_the_schemas_name_the_same_fields(kind: type[EdgePayload] | type[EdgePayloadResult]) -> None:
    topic = EDGE_PAYLOAD_TOPIC if kind is EdgePayload else EDGE_PAYLOAD_RESULT_TOPIC
    assert list(event_schema(topic)["properties"]) == list(kind.__struct_fields__)


def test_a_long_error_is_cut() -> None:
    long = msgspec.structs.replace(result("p-1"), error="e" * 100_000)
    assert len(encode_result(long).value) < 10_000
