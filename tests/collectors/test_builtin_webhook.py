"""The webhook collector before a receiver that answers what a test says."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.collectors.conftest import Start
from tests.collectors.file_collector_process import NoContext
from tests.fakes.event_log import FakeLog
from tests.fakes.gateway_events import plugin, proxy_log
from tests.fakes.plugin_host import FakeFeed, FakeHost
from tests.fakes.sdk_events import a_log, a_usage
from tests.support.certificates import Authority
from tests.support.puppet import Puppet, PuppetCall, puppet

from weir_collectors.breaker import finds_sink_away
from weir_collectors.builtin.errors import RequestRefusedError, SinkConfigError, SinkUnreachableError
from weir_collectors.builtin.webhook import WebhookCollector
from weir_core.webhook_signing import Signer
from weir_host.schema import config_errors, read_schema
from weir_sdk import DataCollectionResponse, Event

CONTEXT: Any = NoContext()
KEY = b"0123456789abcdef0123456789abcdef"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@pytest.fixture
async def receiver() -> AsyncIterator[Puppet]:
    async with puppet() as receiver:
        yield receiver


async def opened(url: str, /, **config: Any) -> WebhookCollector:
    collector = WebhookCollector()
    options = {"url": f"{url}/events", "secret": SECRET, "flush_interval_ms": 0, **config}
    await collector.initialize(CONTEXT, options)
    return collector


def header(call: PuppetCall, name: str) -> str:
    prefix = f"{name}: "
    [value] = [
        line[len(prefix) :] for line in call.head.decode().split("\r\n") if line.lower().startswith(prefix)
    ]
    return value


async def posted(
    receiver: Puppet, events: Sequence[Event], *answer: str, status: str = "200 OK", **config: Any
) -> tuple[PuppetCall, list[DataCollectionResponse] | BaseException]:
    """What the receiver got, and what the collector made of its answer."""
    collector = await opened(receiver.url, **config)
    sending = asyncio.create_task(collector.handle_batch(CONTEXT, events))
    call = await receiver.call()
    await call.answer(b"reason", *answer, status=status)
    [outcome] = await asyncio.gather(sending, return_exceptions=True)
    await collector.shutdown(CONTEXT)
    return call, outcome


async def test_a_batch_goes_as_lines_of_json_each_with_its_type(receiver: Puppet) -> None:
    events = [a_usage(event_id="e1"), a_usage(event_id="e2", cost="0.5")]
    call, answers = await posted(receiver, events)
    assert [answer.handled for answer in answers] == [True, True]  # type: ignore[union-attr]
    assert call.head.startswith(b"POST /events HTTP/1.1")
    assert header(call, "content-type") == "application/x-ndjson"
    lines = [json.loads(line) for line in call.body.splitlines()]
    assert [line["type"] for line in lines] == ["weir.analytics.v1"] * 2
    assert [line["timestamp"] for line in lines] == [event.timestamp for event in events]
    assert [line["data"] for line in lines] == [json.loads(event.to_json()) for event in events]


async def test_a_batch_goes_as_one_array_where_that_is_asked_for(receiver: Puppet) -> None:
    call, _ = await posted(receiver, [a_log(event_id="e1"), a_log(event_id="e2")], format="json_array")
    assert header(call, "content-type") == "application/json"
    assert [item["data"]["event_id"] for item in json.loads(call.body)] == ["e1", "e2"]


async def test_the_signature_covers_id_time_and_body(receiver: Puppet) -> None:
    call, _ = await posted(receiver, [a_log()])
    signed = f"{header(call, 'webhook-id')}.{header(call, 'webhook-timestamp')}.".encode() + call.body
    expected = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    assert header(call, "webhook-signature") == f"v1,{expected}"


def test_a_signature_is_the_one_that_standard_webhooks_gives_as_its_example() -> None:
    signer = Signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
    )


async def test_a_repeated_batch_has_the_id_it_had(receiver: Puppet) -> None:
    events = [a_log(), a_log()]
    first, _ = await posted(receiver, events, status="503 Service Unavailable")
    again, _ = await posted(receiver, events)
    other, _ = await posted(receiver, events[:1])
    assert header(first, "webhook-id") == header(again, "webhook-id") != header(other, "webhook-id")


async def test_own_headers_are_sent_along(receiver: Puppet) -> None:
    call, _ = await posted(receiver, [a_log()], headers={"Authorization": "Bearer t"})
    assert header(call, "authorization") == "Bearer t"


@pytest.mark.parametrize("status", ["429 Too Many", "500 No", "503 No", "401 No", "408 Late", "302 Found"])
async def test_a_receiver_that_may_take_it_later_is_away(receiver: Puppet, status: str) -> None:
    _, outcome = await posted(receiver, [a_log(), a_log()], status=status)
    assert isinstance(outcome, SinkUnreachableError)
    assert finds_sink_away(outcome)
    assert f"answered {status[:3]}: reason" in str(outcome)


@pytest.mark.parametrize("status", ["400 No", "404 No", "422 No"])
async def test_a_receiver_that_refuses_the_events_refuses_them_for_good(
    receiver: Puppet, status: str
) -> None:
    _, outcome = await posted(receiver, [a_log()], status=status)
    assert isinstance(outcome, RequestRefusedError)
    assert not outcome.retryable


async def test_retry_after_is_respected(receiver: Puppet) -> None:
    collector = await opened(receiver.url)
    sending = asyncio.create_task(collector.handle_batch(CONTEXT, [a_log()]))
    await (await receiver.call()).answer(b"", "retry-after: 60", status="429 Too Many Requests")
    with pytest.raises(SinkUnreachableError):
        await sending
    with pytest.raises(SinkUnreachableError, match="asked not to be sent anything"):
        await collector.handle_batch(CONTEXT, [a_log()])
    assert receiver.waiting == 0
    await collector.shutdown(CONTEXT)


async def test_a_batch_that_is_too_large_goes_in_halves(receiver: Puppet) -> None:
    collector = await opened(receiver.url)
    sending = asyncio.create_task(collector.handle_batch(CONTEXT, [a_log(), a_log(), a_log()]))
    sizes = []
    for status in ("413 Too Large", "200 OK", "200 OK"):
        call = await receiver.call()
        sizes.append(len(call.body.splitlines()))
        await call.answer(b"", status=status)
    assert all(answer.handled for answer in await sending)
    assert sizes == [3, 1, 2]
    await collector.shutdown(CONTEXT)


async def test_a_receiver_that_does_not_answer_or_is_not_there_is_away(receiver: Puppet) -> None:
    silent = await opened(receiver.url, request_timeout_seconds=0.05)
    with pytest.raises(SinkUnreachableError, match="did not answer"):
        await silent.handle_batch(CONTEXT, [a_log()])
    await silent.shutdown(CONTEXT)
    cut = await opened(receiver.url)
    await receiver.call()
    sending = asyncio.create_task(cut.handle_batch(CONTEXT, [a_log()]))
    await (await receiver.call()).close()
    with pytest.raises(SinkUnreachableError, match="did not answer"):
        await sending
    await cut.shutdown(CONTEXT)
    url = receiver.url
    await receiver.close()
    absent = await opened(url)
    with pytest.raises(SinkUnreachableError, match="did not answer"):
        await absent.handle_batch(CONTEXT, [a_log()])
    await absent.shutdown(CONTEXT)


async def test_a_receiver_with_a_certificate_of_ones_own_authority_is_trusted_by_its_file(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("receiver"))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for config, trusted in (
            ({"ca_file": str(authority.ca_file)}, True),
            ({"verify_certificates": False}, True),
            ({}, False),
        ):
            collector = await opened(url, **config)
            if trusted:
                assert (await collector.handle_batch(CONTEXT, [a_log()]))[0].handled
            else:
                with pytest.raises(SinkUnreachableError, match=r"(?i)certificate"):
                    await collector.handle_batch(CONTEXT, [a_log()])
            await collector.shutdown(CONTEXT)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"secret": "whsec_not base64!!"}, "secret"),
        ({"headers": {"Webhook-Signature": "mine"}}, "headers"),
        ({"ca_file": "/nowhere/ca.pem"}, "ca_file"),
        ({"url": "ftp://example"}, "url"),
        ({"secret": "short"}, "secret"),
        ({"format": "xml"}, "format"),
    ],
)
async def test_a_config_that_cannot_work_is_refused_by_the_field_s_name(
    config: dict[str, Any], field: str
) -> None:
    with pytest.raises(SinkConfigError, match=field):
        await opened("http://127.0.0.1:1", **config)


def test_secrets_are_marked_in_the_schema() -> None:
    schema = read_schema(WebhookCollector().get_config_schema())
    secret = {name for name, field in schema["properties"].items() if field.get("writeOnly")}
    assert secret == {"secret", "headers"}
    assert config_errors({"url": "https://example.com/in", "secret": "0123456789abcdef"}, schema) == []
    assert len(config_errors({}, schema)) == 2


async def test_a_worker_that_dies_before_its_commit_posts_the_same_batch_again(
    receiver: Puppet, log: FakeLog, feed: FakeFeed, host: FakeHost, start: Start
) -> None:
    collector = await opened(receiver.url)
    host.put(batch=lambda events: collector.handle_batch(CONTEXT, events))
    log.append(*(proxy_log(event_id=f"e{number}") for number in range(3)))
    feed.publish(1, [plugin()])
    dying = start()
    first = await receiver.call()
    await dying.abandon()
    start()
    again = await receiver.call()
    await again.answer(b"")
    await log.until_all_committed()
    assert first.body == again.body
    assert header(first, "webhook-id") == header(again, "webhook-id")
    assert receiver.waiting == 0
    await collector.shutdown(CONTEXT)
