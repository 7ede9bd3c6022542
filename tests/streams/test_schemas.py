"""The JSON Schemas that ship: they and the events say the same."""

from __future__ import annotations

import types
import typing
from typing import Any

import jsonschema
import msgspec
import pytest
from tests.streams.support import SPOOL_ID, STARTED_US, admission, event_ids, family

from weir_core.clock import rfc3339
from weir_streams.admission import AdmittedSection, IdentitySection, Orphan, SendingSection
from weir_streams.cloudevents import kafka_headers
from weir_streams.events import (
    TOPIC_OF,
    Analytics,
    Attempt,
    BudgetUsage,
    Event,
    Latency,
    ProxyLog,
    encode,
)
from weir_streams.families import encode_family
from weir_streams.recovery import orphan_record
from weir_streams.schema_files import FILE_OF_TOPIC, asyncapi_document, event_schema, kafka_headers_schema

KINDS = [ProxyLog, Analytics, BudgetUsage]
LOG_ID = "0199a0b0-0000-7000-8000-00000000abcd"
JSON_TYPES = {
    str: "string",
    int: "integer",
    bool: "boolean",
    float: "number",
    list: "array",
    dict: "object",
    Latency: "object",
}


def check(event: Event) -> None:
    """Validate an event as it stands on the topic, formats included."""
    schema = event_schema(TOPIC_OF[type(event)])
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    validator.validate(msgspec.json.decode(encode(event).value))


def numbered(events: list[Event]) -> list[Event]:
    """Number a family, with ids as they really are."""
    for event in events:
        event.event_id = LOG_ID
    encode_family(events, SPOOL_ID, 1, STARTED_US)
    return events


def full_family() -> list[Event]:
    """A family in which nothing is left at its default."""
    attempt = Attempt(llm_id=3, status=500, error="boom", upstream_request_id="up", latency_ms=2.5)
    events = family(
        model_name="gpt",
        blocked_by="guard",
        stream=True,
        chunk_count=3,
        latency_ms=Latency(total=1, upstream=2, first_byte=3, plugins={"guard": 0.5}),
        request_bytes=1,
        response_bytes=2,
        request_body_encoding="base64",
        request_body_truncated=True,
        request_body_sha256="ab" * 32,
        attempts=[attempt],
        metadata={"any": [1, {"thing": None}]},
    )
    for event in events:
        event.trace_id, event.client_request_id, event.user_id = "ab" * 16, "mine", "ann"
        event.edge_id, event.edge_namespace, event.credential_id = "edge", "eu", 9
    analytics = events[1]
    assert isinstance(analytics, Analytics)
    analytics.attempts, analytics.finish_reasons, analytics.cost = [attempt], ["stop"], "0.00123"
    return events


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_valid_and_describes_every_property(kind: type[Event]) -> None:
    schema = event_schema(TOPIC_OF[kind])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert all(item["description"] for item in schema["properties"].values())


@pytest.mark.parametrize("kind", KINDS)
def test_struct_and_schema_have_the_same_fields_in_the_same_order(kind: type[Event]) -> None:
    assert list(event_schema(TOPIC_OF[kind])["properties"]) == list(kind.__struct_fields__)


@pytest.mark.parametrize("kind", KINDS)
def test_struct_and_schema_agree_on_types(kind: type[Event]) -> None:
    properties = event_schema(TOPIC_OF[kind])["properties"]
    for name, hint in typing.get_type_hints(kind).items():
        assert _types_in_schema(properties[name]) == _types_of(hint), name


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_struct_requires_the_schema_requires(kind: type[Event]) -> None:
    required = {field.encode_name for field in msgspec.structs.fields(kind) if field.required}
    assert required <= set(event_schema(TOPIC_OF[kind])["required"])


def test_attempts_and_latency_agree_too() -> None:
    schema = event_schema(TOPIC_OF[ProxyLog])
    assert list(schema["$defs"]["attempt"]["properties"]) == list(Attempt.__struct_fields__)
    assert list(schema["properties"]["latency_ms"]["properties"]) == list(Latency.__struct_fields__)


def test_served_events_are_valid() -> None:
    for event in (*numbered(family()), *numbered(full_family())):
        check(event)


def test_recovered_events_are_valid() -> None:
    values = msgspec.structs.asdict(admission())
    admitted = AdmittedSection(event_ids=event_ids(), first_seq=1, **values)
    sending = SendingSection("gpt", 1, 2, 3, metered=True, stream=None)
    for orphan in (
        Orphan(0, admitted, IdentitySection(7, None, None), sending),
        Orphan(0, admitted, None, None),
    ):
        for event in numbered(orphan_record(orphan, "USD").events()):
            check(event)


def test_a_wrong_event_is_not_valid() -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(numbered(family(outcome="great"))[0])


@pytest.mark.parametrize("position", [0, 1, 2])
def test_kafka_headers_are_as_their_schema_says(position: int) -> None:
    schema = kafka_headers_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    event = numbered(full_family())[position]
    headers = {name: value.decode() for name, value in kafka_headers(encode(event))}
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(headers)
    assert list(headers) == list(schema["properties"])
    assert headers == {
        "ce_specversion": "1.0",
        "ce_id": LOG_ID,
        "ce_type": TOPIC_OF[type(event)].replace("-", "_"),
        "ce_source": "/weir/edges/edge",
        "ce_subject": "request-1",
        "ce_time": rfc3339(STARTED_US),
        "content-type": "application/json",
        "traceparent": f"00-{'ab' * 16}-800000000000abcd-01",
    }


@pytest.mark.parametrize("trace_id", [None, "0" * 32, "short", "Z" * 32])
def test_without_a_valid_trace_there_is_no_traceparent(trace_id: str | None) -> None:
    event = numbered(family())[0]
    event.trace_id = trace_id
    headers = dict(kafka_headers(encode(event)))
    assert "traceparent" not in headers
    assert headers["ce_source"] == f"/weir/spools/{SPOOL_ID}".encode()


def test_an_edge_with_an_odd_name_is_still_a_uri() -> None:
    event = numbered(family())[0]
    event.edge_id = "a b/ü"
    assert dict(kafka_headers(encode(event)))["ce_source"] == b"/weir/edges/a%20b%2F%C3%BC"


def _types_in_schema(property_schema: dict[str, Any]) -> set[str]:
    named = property_schema["type"]
    return set(named) if isinstance(named, list) else {named}


def _types_of(hint: Any) -> set[str]:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return set().union(*(_types_of(part) for part in typing.get_args(hint)))
    if origin is typing.Literal:
        return {"string"}
    if hint is types.NoneType:
        return {"null"}
    return {JSON_TYPES[origin or hint]}


def test_the_asyncapi_document_gives_each_topic_the_schema_that_its_messages_keep_to() -> None:
    document = asyncapi_document()
    messages = {
        channel["address"]: resolved(document, channel["messages"][name])
        for name, channel in document["channels"].items()
    }
    assert {topic: message["payload"]["$ref"] for topic, message in messages.items()} == {
        topic: f"./{file}" for topic, file in FILE_OF_TOPIC.items()
    }
    assert {message["headers"]["$ref"] for message in messages.values()} == {"./kafka_headers.v1.json"}
    types = kafka_headers_schema()["properties"]["ce_type"]["enum"]
    assert sorted(message["name"] for message in messages.values()) == sorted(types)
    written = {resolved(document, one["channel"])["address"] for one in document["operations"].values()}
    assert written == set(messages)


def resolved(document: dict[str, Any], reference: dict[str, str]) -> dict[str, Any]:
    """Where a reference within the document leads."""
    found = document
    for step in reference["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found
