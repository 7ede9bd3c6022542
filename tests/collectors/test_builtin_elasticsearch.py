"""The Elasticsearch collector before a server that answers what a test says; the real one is in tests/system."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.collectors.file_collector_process import NoContext
from tests.fakes.sdk_events import a_budget, a_log, a_usage
from tests.support.certificates import Authority
from tests.support.ports import free_ports
from tests.support.puppet import Puppet, PuppetCall, puppet

from weir_collectors.breaker import finds_sink_away
from weir_collectors.builtin.elasticsearch import ElasticsearchCollector
from weir_collectors.builtin.errors import (
    RequestRefusedError,
    SinkConfigError,
    SinkUnreachableError,
)
from weir_host.schema import config_errors, read_schema
from weir_sdk import DataCollectionResponse, Event

CONTEXT: Any = NoContext()
HEADERS = ("x-elastic-product: Elasticsearch", "content-type: application/json")
CREATED = {"status": 201}
MAPPING_ERROR = {"status": 400, "error": {"type": "document_parsing_exception", "reason": "no number"}}


@pytest.fixture
async def server() -> AsyncIterator[Puppet]:
    async with puppet() as server:
        yield server


async def opened(url: str | list[str], /, **config: Any) -> ElasticsearchCollector:
    """A collector whose templates are somebody else's."""
    collector = ElasticsearchCollector()
    options = {"elasticsearch_url": url, "manage_templates": False, "flush_interval_ms": 0, **config}
    await collector.initialize(CONTEXT, options)
    return collector


async def answer(call: PuppetCall, body: Any, *headers: str, status: str = "200 OK") -> None:
    await call.answer(json.dumps(body).encode(), *HEADERS, *headers, status=status)


async def answer_items(call: PuppetCall, *items: dict[str, Any]) -> None:
    await answer(call, {"items": [{"create": item} for item in items]})


async def outcome(
    server: Puppet, events: Sequence[Event], body: Any, *headers: str, status: str = "200 OK", **config: Any
) -> list[DataCollectionResponse] | BaseException:
    """What the collector makes of one answer to these events."""
    collector = await opened(server.url, **config)
    sending = asyncio.create_task(collector.handle_batch(CONTEXT, events))
    await answer(await server.call(), body, *headers, status=status)
    [result] = await asyncio.gather(sending, return_exceptions=True)
    await collector.shutdown(CONTEXT)
    return result


def items(*statuses: dict[str, Any]) -> dict[str, Any]:
    return {"items": [{"create": status} for status in statuses]}


async def test_events_are_created_in_the_index_of_their_kind_and_of_their_own_utc_day(server: Puppet) -> None:
    collector = await opened(server.url, index_prefix="acme")
    events = [
        a_log(event_id="one", timestamp="2026-01-31T23:59:59.999999Z"),
        a_log(event_id="two", timestamp="2026-02-01T00:30:00+01:00"),
    ]
    sending = asyncio.create_task(collector.handle_batch(CONTEXT, events))
    call = await server.call()
    await answer_items(call, CREATED, CREATED)
    assert [answer.handled for answer in await sending] == [True, True]
    lines = [json.loads(line) for line in call.body.splitlines()]
    assert lines[0::2] == [
        {"create": {"_index": "acme-proxy-logs-2026.01.31", "_id": "one"}},
        {"create": {"_index": "acme-proxy-logs-2026.01.31", "_id": "two"}},
    ]
    assert lines[1::2] == [{"@timestamp": event.timestamp, **json.loads(event.to_json())} for event in events]
    assert b"_bulk" in call.head.split(b"\r\n")[0]
    for event, index in ((a_usage(), "acme-analytics-"), (a_budget(), "acme-budget-")):
        assert json.loads(collector.encode(event).splitlines()[0])["create"]["_index"].startswith(index)
    await collector.shutdown(CONTEXT)


async def test_each_document_has_a_result_of_its_own(server: Puppet) -> None:
    events = [a_log(event_id=f"e{number}") for number in range(5)]
    answers = await outcome(
        server,
        events,
        items(CREATED, {"status": 409}, {"status": 429}, {"status": 503}, MAPPING_ERROR),
    )
    assert not isinstance(answers, BaseException)
    assert [answer.handled for answer in answers] == [True, True, False, False, False]
    assert [answer.retryable for answer in answers[2:]] == [True, True, False]
    assert answers[4].error_message == (
        "Elasticsearch refused the document with 400: document_parsing_exception: no number"
    )


async def test_a_cluster_with_too_much_to_do_for_any_document_is_away(server: Puppet) -> None:
    error = await outcome(server, [a_log(), a_log()], items({"status": 429}, {"status": 429}))
    assert isinstance(error, SinkUnreachableError)


@pytest.mark.parametrize("status", ["429 Busy", "503 Away", "502 Bad", "401 Who", "403 No", "404 Where"])
async def test_a_server_that_takes_no_request_is_away(server: Puppet, status: str) -> None:
    error = await outcome(server, [a_log(), a_log()], {"error": "no"}, status=status)
    assert isinstance(error, SinkUnreachableError)
    assert finds_sink_away(error)
    assert status[:3] in str(error)


async def test_a_malformed_request_is_refused_for_good(server: Puppet) -> None:
    error = await outcome(server, [a_log()], {"error": "no"}, status="400 Bad")
    assert isinstance(error, RequestRefusedError)


async def test_retry_after_is_respected(server: Puppet) -> None:
    collector = await opened(server.url)
    sending = asyncio.create_task(collector.handle_batch(CONTEXT, [a_log()]))
    await answer(await server.call(), {}, "retry-after: 30", status="429 Busy")
    with pytest.raises(SinkUnreachableError):
        await sending
    with pytest.raises(SinkUnreachableError, match="asked not to be sent anything"):
        await collector.handle_batch(CONTEXT, [a_log()])
    await collector.shutdown(CONTEXT)


@pytest.mark.parametrize(
    "body",
    [{}, [], None, {"items": []}, items(CREATED), items(CREATED, {}), {"items": [{"index": CREATED}] * 2}],
)
async def test_what_was_not_acknowledged_is_not_handled(server: Puppet, body: Any) -> None:
    error = await outcome(server, [a_log(), a_log()], body)
    assert isinstance(error, SinkUnreachableError)


async def test_something_that_is_not_elasticsearch_handles_nothing(server: Puppet) -> None:
    collector = await opened(server.url)
    for headers in (("content-type: text/html",), HEADERS):
        sending = asyncio.create_task(collector.handle_batch(CONTEXT, [a_log()]))
        await (await server.call()).answer(b"<html>Welcome", *headers)
        with pytest.raises(SinkUnreachableError):
            await sending
    await collector.shutdown(CONTEXT)


async def test_a_request_that_is_too_large_goes_in_halves(server: Puppet) -> None:
    collector = await opened(server.url)
    sending = asyncio.create_task(collector.handle_batch(CONTEXT, [a_log(), a_log()]))
    await answer(await server.call(), {}, status="413 Too Large")
    await answer_items(await server.call(), CREATED)
    await answer_items(await server.call(), CREATED)
    assert all(answer.handled for answer in await sending)
    await collector.shutdown(CONTEXT)


async def test_a_server_that_never_answers_or_hangs_up_is_away(server: Puppet) -> None:
    silent = await opened(server.url, request_timeout_seconds=0.05)
    with pytest.raises(SinkUnreachableError, match=r"(?i)timeout|timed out") as caught:
        await silent.handle_batch(CONTEXT, [a_log()])
    assert finds_sink_away(caught.value)
    await silent.shutdown(CONTEXT)
    await server.call()
    cut = await opened(server.url)
    sending = asyncio.create_task(cut.handle_batch(CONTEXT, [a_log()]))
    for _ in range(2):  # the client asks again when a connection is cut before an answer
        await (await server.call()).close()
    with pytest.raises(SinkUnreachableError):
        await sending
    await cut.shutdown(CONTEXT)


async def test_nobody_listening_is_an_outage_that_starts_fine_and_ends_by_itself() -> None:
    [port] = free_ports(1)
    collector = await opened(f"http://127.0.0.1:{port}", manage_templates=True)
    with pytest.raises(SinkUnreachableError, match="index templates") as caught:
        await collector.handle_batch(CONTEXT, [a_log()])
    assert finds_sink_away(caught.value)
    await collector.shutdown(CONTEXT)


async def test_no_document_is_written_before_its_templates_are_there(server: Puppet) -> None:
    starting = asyncio.create_task(opened(server.url, manage_templates=True))
    await answer(await server.call(), {}, status="503 Starting")
    collector = await starting
    sending = asyncio.create_task(collector.handle_batch(CONTEXT, [a_log()]))
    asked = []
    while not sending.done():
        call = await server.call()
        asked.append(
            call.head.split(b" ")[0].decode() + " " + call.head.split(b" ")[1].decode().split("?")[0]
        )
        if asked[-1].startswith("GET"):
            await answer(call, {}, status="404 Not Found")
        elif asked[-1].startswith("PUT /_bulk"):
            await answer_items(call, CREATED)
            await sending
        else:
            await answer(call, {"acknowledged": True})
    installed = [line for line in asked[:-1] if line.startswith("PUT")]
    assert len(installed) == 7
    assert asked[-1] == "PUT /_bulk"
    assert (await sending)[0].handled
    await collector.shutdown(CONTEXT)


async def test_a_refusal_of_the_templates_is_said_at_the_start_and_leaves_no_connection(
    server: Puppet,
) -> None:
    starting = asyncio.create_task(opened(server.url, manage_templates=True))
    call = await server.call()
    await answer(call, {"error": "no privilege"}, status="403 Forbidden")
    with pytest.raises(SinkConfigError, match=r"api_key.*manage_templates"):
        await starting
    async with asyncio.timeout(30):
        await call.left.wait()


async def test_another_node_is_asked_where_one_cannot_be_reached(server: Puppet) -> None:
    [port] = free_ports(1)
    collector = await opened([f"http://127.0.0.1:{port}", server.url])
    for _ in range(2):
        sending = asyncio.create_task(collector.handle_batch(CONTEXT, [a_log()]))
        await answer_items(await server.call(), CREATED)
        assert (await sending)[0].handled
    await collector.shutdown(CONTEXT)


@pytest.mark.parametrize(
    ("config", "authorization"),
    [
        ({"api_key": "a2V5"}, "ApiKey a2V5"),
        ({"username": "weir", "password": "secret"}, "Basic d2VpcjpzZWNyZXQ="),
    ],
)
async def test_requests_carry_the_credentials(
    server: Puppet, config: dict[str, Any], authorization: str
) -> None:
    collector = await opened(server.url, **config)
    sending = asyncio.create_task(collector.handle_batch(CONTEXT, [a_log()]))
    call = await server.call()
    await answer_items(call, CREATED)
    await sending
    assert f"authorization: {authorization}".encode() in call.head.replace(b"Authorization", b"authorization")
    await collector.shutdown(CONTEXT)


async def test_a_server_of_ones_own_authority_is_trusted_by_its_file(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("node"))
    body = json.dumps(items(CREATED))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = ["HTTP/1.1 200 OK", *HEADERS, f"content-length: {len(body)}", "connection: close"]
        writer.write("\r\n".join([*head, "", body]).encode())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listening:
        url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        for config in ({"ca_file": str(authority.ca_file)}, {"verify_certificates": False}):
            trusting = await opened(url, **config)
            assert (await trusting.handle_batch(CONTEXT, [a_log()]))[0].handled
            await trusting.shutdown(CONTEXT)
        suspicious = await opened(url)
        with pytest.raises(SinkUnreachableError, match=r"(?i)certificate"):
            await suspicious.handle_batch(CONTEXT, [a_log()])
        await suspicious.shutdown(CONTEXT)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"api_key": "k", "username": "u", "password": "p"}, "api_key"),
        ({"username": "u"}, "password"),
        ({"password": "p"}, "username"),
        ({"elasticsearch_url": "https://127.0.0.1:9200", "ca_file": "/nowhere/ca.pem"}, "ca_file"),
        ({"elasticsearch_url": "http://user:secret@host:9200"}, "elasticsearch_url"),
        ({"elasticsearch_url": []}, "elasticsearch_url"),
        ({"index_prefix": "Upper"}, "index_prefix"),
        ({"request_timeout_seconds": 0}, "request_timeout_seconds"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
async def test_a_config_that_cannot_work_is_refused_by_the_field_s_name(
    config: dict[str, Any], field: str
) -> None:
    with pytest.raises(SinkConfigError, match=field):
        await opened("http://127.0.0.1:1", **config)


def test_secrets_are_marked_in_the_schema_and_nothing_is_required() -> None:
    schema = read_schema(ElasticsearchCollector().get_config_schema())
    secret = {name for name, field in schema["properties"].items() if field.get("writeOnly")}
    assert secret == {"api_key", "password"}
    assert config_errors({}, schema) == []
    assert [path for path, _ in config_errors({"index_prefix": "Upper"}, schema)] == ["index_prefix"]
