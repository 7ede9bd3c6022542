from __future__ import annotations

from typing import Any

import pytest

from weir_proto import plugin_pb2 as pb
from weir_sdk import Credential, PluginResponse, Request
from weir_sdk.context import CallInfo, Context, Surroundings
from weir_sdk.errors import RubbishError
from weir_sdk.outcomes import auth_outcome, request_outcome
from weir_sdk.services import Services
from weir_sdk.testing import RecordingLogger, make_request
from weir_sdk.wire import requests as wire
from weir_sdk.wire.context import (
    MetadataChange,
    Peer,
    context_from_wire,
    context_to_wire,
    keep_wire_metadata,
    metadata_change,
)

OURS = Peer(ours=True, edge_id="edge-1", edge_namespace="eu")
GO = Peer(ours=False, edge_id="edge-1", edge_namespace="eu")


def call(**changes: Any) -> CallInfo:
    facts: dict[str, Any] = {
        "request_id": "r-1",
        "llm_id": 3,
        "llm_slug": "my-llm",
        "vendor": "openai",
        "app_id": 7,
        "user_id": "42",
        "metadata": {"kept": "yes"},
        "trace_context": {"traceparent": "00-1-2-01"},
    }
    return CallInfo(**{**facts, **changes})


def facts_of(request: Request) -> dict[str, Any]:
    names = [
        "method",
        "path",
        "headers",
        "body",
        "query_string",
        "remote_addr",
        "user_id",
        "app_id",
        "auth_claims",
        "authenticated",
    ]
    return {name: getattr(request, name) for name in names}


def request() -> Request:
    return make_request(
        method="PUT",
        headers={"Authorization": "Bearer wk_1", "X-Latin": "caf\xe9"},
        json={"model": "gpt-4o"},
        query_string="a=1&b=2",
        user_id="42",
        app_id=7,
        auth_claims={"team": "blue"},
        authenticated=True,
    )


def sent(message: Any) -> Any:
    """What the other end reads."""
    return type(message).FromString(message.SerializeToString())


@pytest.mark.parametrize("user_id", [None, "", "0", "007", "42", "4294967296", "ada", "٣", "9" * 5000])
def test_our_own_plugins_read_a_calls_facts_as_they_are(user_id: str | None) -> None:
    given = call(user_id=user_id, metadata={"user_id": "set by a hook", "edge_id": "too"})
    assert context_from_wire(sent(context_to_wire(given, OURS))) == given


def test_a_call_of_nobody_stays_one() -> None:
    assert context_from_wire(sent(context_to_wire(CallInfo(), OURS))) == CallInfo()


@pytest.mark.parametrize(
    ("user_id", "number", "noted"),
    [
        (None, 0, None),
        ("42", 42, None),
        ("ada", 0, "ada"),
        ("007", 0, "007"),
        ("4294967296", 0, "4294967296"),
    ],
)
def test_go_plugins_read_a_users_id_as_a_number_or_find_its_text_in_the_metadata(
    user_id: str | None, number: int, noted: str | None
) -> None:
    context = context_to_wire(call(user_id=user_id), GO, query_string="a=1")
    assert (context.user_id, context.metadata.get("user_id")) == (number, noted)
    assert context.metadata["edge_id"] == "edge-1"
    assert context.metadata["edge_namespace"] == "eu"
    assert context.metadata["query_string"] == "a=1"


def test_what_go_hosts_say_of_a_call_is_read_from_go_fields() -> None:
    assert context_from_wire(pb.PluginContext(user_id=42, app_id=7)).user_id == "42"
    assert context_from_wire(pb.PluginContext(metadata={"user_id": "a hook's"})).user_id is None


@pytest.mark.parametrize("peer", [OURS, GO], ids=["ours", "go"])
def test_a_request_arrives_as_it_was_sent(peer: Peer) -> None:
    given = request()
    _, enriched = wire.enriched_from_wire(sent(wire.enriched_to_wire(call(), given, peer)))
    assert facts_of(enriched) == facts_of(given)
    _, unknown = wire.request_from_wire(sent(wire.request_to_wire(call(), given, peer)))
    assert (unknown.query_string, unknown.user_id, unknown.app_id) == ("a=1&b=2", None, None)


def test_sub_messages_are_always_there() -> None:
    empty = wire.enriched_to_wire(CallInfo(), Request(), GO)
    assert empty.HasField("request")
    assert empty.request.HasField("context")
    asked = wire.auth_to_wire(CallInfo(), Request(), GO)
    assert (asked.HasField("request"), asked.HasField("context")) == (True, True)


@pytest.mark.parametrize(
    ("headers", "query", "found"),
    [
        ({"Authorization": "Bearer wk_1"}, "", ("wk_1", "bearer")),
        ({"authorization": "bearer  wk_1 "}, "", ("wk_1", "bearer")),
        ({"X-Api-Key": "k"}, "", ("k", "api_key")),
        ({"x-goog-api-key": "k"}, "", ("k", "api_key")),
        ({"Authorization": "Basic abc"}, "key=k%20", ("k ", "api_key")),
        ({}, "", ("", "")),
    ],
)
def test_the_credential_is_found_where_the_vendors_put_it(
    headers: dict[str, str], query: str, found: tuple[str, str]
) -> None:
    assert wire.credential_of(Request(headers=headers, query_string=query)) == found
    assert wire.auth_to_wire(call(), Request(headers=headers, query_string=query), GO).credential == found[0]


def change_everything(shown: Request) -> None:
    shown.method = "POST"
    shown.path = "/other"
    shown.query_string = ""
    shown.headers["X-New"] = "1"
    shown.headers["X-Latin"] = "\xff"
    del shown.headers["Authorization"]
    shown.body = b""


def changed_body(shown: Request) -> None:
    shown.json()["user"] = "ada"


@pytest.mark.parametrize("change", [change_everything, changed_body, lambda shown: None])
def test_changes_to_a_request_travel_whole(change: Any) -> None:
    given = request()
    shown = given.copy()
    change(shown)
    outcome = request_outcome(None, shown, given)
    answer = sent(wire.request_outcome_to_wire(outcome, given, MetadataChange()))
    read = wire.request_outcome_from_wire(answer, given)
    assert (read.request is None) == (outcome.request is None)
    if read.request is not None and outcome.request is not None:
        assert facts_of(read.request) == facts_of(outcome.request)


def test_only_what_changed_travels() -> None:
    given = request()
    shown = given.copy()
    shown.headers["X-New"] = "1"
    answer = wire.request_outcome_to_wire(request_outcome(None, shown, given), given, MetadataChange())
    assert answer == pb.PluginResponse(modified=True, headers={"X-New": "1"})


def test_a_block_travels_whole() -> None:
    given = request()
    block = PluginResponse(
        block=True, status_code=429, headers={"retry-after": "1"}, body=b"slow", error_message="later"
    )
    outcome = request_outcome(block, given.copy(), given)
    read = wire.request_outcome_from_wire(
        sent(wire.request_outcome_to_wire(outcome, given, MetadataChange())), given
    )
    assert read == outcome


@pytest.mark.parametrize(
    ("answer", "merged"),
    [
        (pb.PluginResponse(modified=True, headers={"x-new": "1"}, body=b"b"), ("1", b"b")),
        (pb.PluginResponse(modified=True, headers={"x-new": "1"}), ("1", b'{"model":"gpt-4o"}')),
    ],
)
def test_a_go_plugins_answer_merges_headers_and_replaces_a_body_that_is_there(
    answer: pb.PluginResponse, merged: tuple[str, bytes]
) -> None:
    outcome = wire.request_outcome_from_wire(answer, request())
    assert outcome.request is not None
    assert (outcome.request.headers["X-New"], outcome.request.body) == merged
    assert outcome.request.headers["Authorization"] == "Bearer wk_1"


def test_block_comes_before_modified_and_an_unmodified_echo_does_not_count() -> None:
    both = pb.PluginResponse(block=True, modified=True, body=b"no")
    outcome = wire.request_outcome_from_wire(both, request())
    assert outcome.block is not None
    assert (outcome.block.status_code, outcome.request) == (403, None)
    echo = pb.PluginResponse(headers={"X-New": "1"}, body=b"b", path="/x", removed_headers=["Authorization"])
    assert wire.request_outcome_from_wire(echo, request()).request is None


@pytest.mark.parametrize(
    "answer",
    [
        pb.PluginResponse(block=True, status_code=999),
        pb.PluginResponse(modified=True, headers={"X-A": "a\r\nb"}),
        pb.PluginResponse(modified=True, path="no slash"),
        pb.PluginResponse(modified=True, method="GE T"),
    ],
)
def test_rubbish_from_a_plugin_is_told_apart(answer: pb.PluginResponse) -> None:
    with pytest.raises(RubbishError):
        wire.request_outcome_from_wire(answer, request())


@pytest.mark.parametrize(
    "returned",
    [
        None,
        PluginResponse(error_message="not mine"),
        PluginResponse(block=True, error_message="expired", headers={"Www-Authenticate": "Bearer"}),
        PluginResponse(block=True, status_code=402, body=b"pay"),
        PluginResponse(
            credential=Credential(user_id="ada", username="Ada", claims={"team": "blue"}, app_id=7)
        ),
        PluginResponse(credential=Credential()),
    ],
)
def test_what_an_auth_handler_decided_travels_whole(returned: PluginResponse | None) -> None:
    outcome = auth_outcome(returned)
    assert wire.auth_outcome_from_wire(sent(wire.auth_outcome_to_wire(outcome, MetadataChange()))) == outcome


def test_a_go_plugins_refusal_is_a_401_with_its_words() -> None:
    outcome = wire.auth_outcome_from_wire(pb.AuthResponse(error_message="unknown token"))
    assert outcome.block is not None
    assert (outcome.block.status_code, outcome.block.error_message) == (401, "unknown token")


def test_an_app_that_is_no_number_is_rubbish() -> None:
    with pytest.raises(RubbishError, match="decimal"):
        wire.auth_outcome_from_wire(pb.AuthResponse(authenticated=True, app_id="seven"))


def noting(given: CallInfo) -> Context:
    return Context(given, Surroundings(runtime="gateway", services=Services(RecordingLogger(), None)))


def test_what_a_handler_notes_reaches_the_call() -> None:
    given = call(metadata={"kept": "yes", "gone": "1", "changed": "1"})
    context = noting(given)
    context.metadata.update({"changed": "2", "new": "1"})
    del context.metadata["gone"]
    change = metadata_change(context, given, {"new": "2", "kept": "yes"})
    answer = sent(
        wire.request_outcome_to_wire(request_outcome(None, request(), request()), request(), change)
    )
    keep_wire_metadata(answer, given)
    assert given.metadata == {"kept": "yes", "changed": "2", "new": "2"}
    assert dict(answer.context_updates) == {"changed": "2", "new": "2", "kept": "yes"}


def test_metadata_that_are_no_text_are_rubbish() -> None:
    context = noting(call())
    context.metadata["n"] = 1  # type: ignore[assignment]
    with pytest.raises(RubbishError, match="metadata"):
        metadata_change(context, call())
