from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from weir_sdk import (
    Context,
    Credential,
    DataCollectionResponse,
    PluginResponse,
    Request,
    Response,
    ResponseWriteResponse,
    Services,
)
from weir_sdk.context import CallInfo, Surroundings
from weir_sdk.errors import RubbishError
from weir_sdk.outcomes import (
    auth_outcome,
    batch_outcome,
    collector_outcome,
    keep_metadata,
    request_outcome,
    response_outcome,
)
from weir_sdk.testing import FakeGateway, RecordingLogger


@pytest.fixture
def call() -> CallInfo:
    return CallInfo(request_id="r-1", metadata={"kept": "yes"})


def given_request() -> Request:
    return Request(
        path="/llm/call/my-llm/v1/chat/completions",
        headers={"Authorization": "Bearer k", "Content-Length": "2", "Accept": "*/*"},
        body=b"{}",
        query_string="a=1",
        remote_addr="10.0.0.1:5",
        user_id="ada",
        app_id=7,
        auth_claims={"team": "blue"},
        authenticated=True,
    )


def given_response(**changes: Any) -> Response:
    return Response(**{"headers": {"Content-Type": "text/plain"}, "body": b"whole", **changes})


class TestChangesInPlace:
    """A handler that returns nothing has said everything through the request."""

    def test_no_change_is_no_request(self) -> None:
        given = given_request()
        shown = given.copy()
        shown.json()
        outcome = request_outcome(None, shown, given)
        assert (outcome.request, outcome.block, outcome.credential) == (None, None, None)

    def test_changes_count(self) -> None:
        given = given_request()
        shown = given.copy()
        shown.headers["x-team"] = "blue"
        del shown.headers["accept"]
        shown.json()["user"] = "ada"
        shown.path = "/llm/call/my-llm/v1/completions"
        shown.query_string = "b=2"
        shown.method = "PUT"
        changed = request_outcome(None, shown, given).request
        assert changed is not None
        assert changed.headers == {"Authorization": "Bearer k", "Content-Length": "2", "X-Team": "blue"}
        assert changed.body == b'{"user":"ada"}'
        assert (changed.method, changed.path, changed.query_string) == (
            "PUT",
            "/llm/call/my-llm/v1/completions",
            "b=2",
        )

    def test_who_calls_is_not_a_plugins_to_change(self) -> None:
        given = given_request()
        shown = given.copy()
        shown.app_id, shown.user_id, shown.authenticated = 1, "root", False
        shown.auth_claims["team"] = "root"
        shown.remote_addr = "127.0.0.1:1"
        assert request_outcome(None, shown, given).request is None
        shown.body = b"[]"
        changed = request_outcome(None, shown, given).request
        assert changed is not None
        assert (changed.app_id, changed.user_id, changed.authenticated) == (7, "ada", True)
        assert changed.auth_claims == {"team": "blue"}
        assert changed.remote_addr == "10.0.0.1:5"

    def test_the_gateways_own_headers_are_not_a_plugins_to_change(self) -> None:
        given = given_request()
        shown = given.copy()
        shown.headers.update({"content-length": "99", "connection": "close", "transfer-encoding": "chunked"})
        assert request_outcome(None, shown, given).request is None
        del shown.headers["content-length"]
        assert request_outcome(None, shown, given).request is None

    def test_headers_may_be_replaced_by_a_plain_dict(self) -> None:
        given = given_request()
        shown = given.copy()
        shown.headers = {"x-only": "this"}  # type: ignore[assignment]
        changed = request_outcome(None, shown, given).request
        assert changed is not None
        assert changed.headers["X-Only"] == "this"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("method", "GET IT"),
            ("method", None),
            ("path", "relative"),
            ("path", "/with?query"),
            ("path", "/with space"),
            ("path", "/with\r\nbreak"),
            ("path", b"/bytes"),
            ("query_string", "a=1\r\nb"),
            ("query_string", "a b"),
            ("body", "text"),
            ("body", None),
            ("headers", None),
            ("headers", [("x-a", "1")]),
            ("headers", {"x-a": 1}),
            ("headers", {"x-a": None}),
            ("headers", {5: "1"}),
            ("headers", {"x a": "1"}),
            ("headers", {"": "1"}),
            ("headers", {"x-a": "1\r\nx-b: 2"}),
            ("headers", {"x-a": "nul\0"}),
            ("headers", {"x-a": "\u20ac"}),
        ],
    )
    def test_rubbish_is_refused(self, name: str, value: Any) -> None:
        given = given_request()
        shown = given.copy()
        setattr(shown, name, value)
        with pytest.raises(RubbishError):
            request_outcome(None, shown, given)

    def test_a_header_with_a_line_break_is_refused_without_showing_it(self) -> None:
        given = given_request()
        shown = given.copy()
        shown.headers["X-Secret"] = "hidden\n"
        with pytest.raises(RubbishError, match="X-Secret") as refusal:
            request_outcome(None, shown, given)
        assert "hidden" not in str(refusal.value)

    def test_a_body_that_cannot_be_json_is_refused(self) -> None:
        given = given_request()
        shown = given.copy()
        shown.json()["when"] = object()
        with pytest.raises(RubbishError, match="cannot be written as JSON"):
            request_outcome(None, shown, given)


class TestPluginResponses:
    """What a returned ``PluginResponse`` means for the request."""

    def test_unmodified_discards_what_was_changed_in_place(self) -> None:
        given = given_request()
        shown = given.copy()
        shown.body = b"[]"
        answer = PluginResponse(modified=False, body=b"echo", headers={"x-a": "1"}, request=shown)
        assert request_outcome(answer, shown, given).request is None

    def test_modified_keeps_what_was_changed_in_place(self) -> None:
        given = given_request()
        shown = given.copy()
        shown.body = b"[]"
        changed = request_outcome(PluginResponse(modified=True), shown, given).request
        assert changed is not None
        assert changed.body == b"[]"

    def test_modified_merges_headers_and_a_body_over_a_given_request(self) -> None:
        given = given_request()
        other = given.copy()
        other.headers["X-A"] = "request"
        other.body = b"from the request"
        answer = PluginResponse(
            modified=True, request=other, headers={"x-a": "answer", "content-length": "5"}, body=b"answer"
        )
        changed = request_outcome(answer, given.copy(), given).request
        assert changed is not None
        assert changed.headers["X-A"] == "answer"
        assert changed.headers["Content-Length"] == "2"
        assert changed.headers["Accept"] == "*/*"
        assert changed.body == b"answer"
        assert other.body == b"from the request"

    def test_modified_without_a_change_is_no_change(self) -> None:
        given = given_request()
        assert request_outcome(PluginResponse(modified=True), given.copy(), given).request is None

    def test_block_comes_before_modified(self) -> None:
        given = given_request()
        shown = given.copy()
        shown.body = b"[]"
        outcome = request_outcome(PluginResponse(block=True, modified=True), shown, given)
        assert outcome.block is not None
        assert outcome.request is None

    def test_a_block_is_403_unless_it_says_otherwise(self) -> None:
        given = given_request()
        block = request_outcome(PluginResponse(block=True, error_message="No."), given.copy(), given).block
        assert block is not None
        assert (block.status_code, block.error_message, block.body) == (403, "No.", b"")

    def test_a_block_with_200_and_a_body_is_an_answer(self) -> None:
        given = given_request()
        answer = PluginResponse(
            block=True,
            status_code=200,
            body=b'{"cached":true}',
            headers={
                "x-cache": "hit",
                "content-length": "1",
                "Connection": "close",
                "transfer-encoding": "x",
            },
        )
        block = request_outcome(answer, given.copy(), given).block
        assert block is not None
        assert (block.status_code, block.body, block.headers) == (200, b'{"cached":true}', {"X-Cache": "hit"})

    @pytest.mark.parametrize(
        "outcome_of", [lambda a: request_outcome(a, given_request(), given_request()), auth_outcome]
    )
    @pytest.mark.parametrize(
        "answer",
        [
            5,
            True,
            {"block": True},
            Request(),
            ResponseWriteResponse(),
            PluginResponse(block="yes"),  # type: ignore[arg-type]
            PluginResponse(block=None),  # type: ignore[arg-type]
            PluginResponse(block=True, status_code=99),
            PluginResponse(block=True, status_code=101),
            PluginResponse(block=True, status_code=600),
            PluginResponse(block=True, status_code=-1),
            PluginResponse(block=True, status_code=True),
            PluginResponse(block=True, status_code="403"),  # type: ignore[arg-type]
            PluginResponse(block=True, body="text"),  # type: ignore[arg-type]
            PluginResponse(block=True, error_message=b"bytes"),  # type: ignore[arg-type]
            PluginResponse(block=True, headers={"x-a": "1\n"}),
            PluginResponse(block=True, headers=["x-a"]),  # type: ignore[arg-type]
            PluginResponse(context_updates={"a": 1}),  # type: ignore[dict-item]
            PluginResponse(context_updates=[]),  # type: ignore[arg-type]
        ],
    )
    def test_rubbish_is_refused(self, answer: Any, outcome_of: Callable[[Any], object]) -> None:
        with pytest.raises(RubbishError):
            outcome_of(answer)

    @pytest.mark.parametrize(
        "answer",
        [
            PluginResponse(modified=1),  # type: ignore[arg-type]
            PluginResponse(modified=True, body="text"),  # type: ignore[arg-type]
            PluginResponse(modified=True, headers={"x-a": 1}),  # type: ignore[dict-item]
            PluginResponse(modified=True, request={}),  # type: ignore[arg-type]
        ],
    )
    def test_rubbish_changes_are_refused(self, answer: Any) -> None:
        with pytest.raises(RubbishError):
            request_outcome(answer, given_request(), given_request())

    def test_context_updates_are_passed_on(self) -> None:
        given = given_request()
        answer = PluginResponse(context_updates={"a": "1"})
        assert request_outcome(answer, given.copy(), given).context_updates == {"a": "1"}


class TestAuth:
    """What an auth handler's answer means."""

    def test_a_credential_lets_the_caller_in(self) -> None:
        credential = Credential(user_id="ada", username="Ada", claims={"team": "blue"}, app_id=7)
        outcome = auth_outcome(PluginResponse(modified=True, credential=credential))
        assert outcome.credential == credential
        assert outcome.block is None

    @pytest.mark.parametrize("answer", [None, PluginResponse(), PluginResponse(modified=True)])
    def test_no_credential_and_no_block_is_no_answer(self, answer: PluginResponse | None) -> None:
        outcome = auth_outcome(answer)
        assert (outcome.credential, outcome.block, outcome.request) == (None, None, None)

    def test_a_block_comes_before_a_credential(self) -> None:
        outcome = auth_outcome(PluginResponse(block=True, credential=Credential(user_id="ada")))
        assert outcome.credential is None
        assert outcome.block is not None
        assert outcome.block.status_code == 401

    @pytest.mark.parametrize(
        "credential",
        [
            {"user_id": "ada"},
            Credential(user_id=7),  # type: ignore[arg-type]
            Credential(username=None),  # type: ignore[arg-type]
            Credential(claims={"admin": True}),  # type: ignore[dict-item]
            Credential(app_id="7"),  # type: ignore[arg-type]
            Credential(app_id=True),
        ],
    )
    def test_a_rubbish_credential_lets_nobody_in(self, credential: Any) -> None:
        with pytest.raises(RubbishError):
            auth_outcome(PluginResponse(credential=credential))


class TestResponses:
    """What a response handler's answer means."""

    def test_no_change_is_no_response(self) -> None:
        given = given_response()
        assert response_outcome(None, given.copy(), given, with_body=True) is None

    def test_changes_in_place_count(self) -> None:
        given = given_response()
        shown = given.copy()
        shown.headers["x-a"] = "1"
        shown.status_code = 203
        shown.body = b"changed"
        changed = response_outcome(None, shown, given, with_body=True)
        assert changed is not None
        assert (changed.status_code, changed.headers["X-A"], changed.body) == (203, "1", b"changed")

    def test_the_headers_phase_leaves_the_body_alone(self) -> None:
        given = given_response()
        shown = given.copy()
        shown.headers["x-a"] = "1"
        shown.body = b""
        changed = response_outcome(None, shown, given, with_body=False)
        assert changed is not None
        assert changed.body == b"whole"

    def test_unmodified_discards_everything(self) -> None:
        given = given_response()
        shown = given.copy()
        shown.body = b"changed"
        answer = ResponseWriteResponse(modified=False, headers={"x-a": "1"}, body=b"other")
        assert response_outcome(answer, shown, given, with_body=True) is None

    def test_modified_overwrites_headers_by_name_and_replaces_the_body(self) -> None:
        given = given_response()
        answer = ResponseWriteResponse(
            modified=True, headers={"x-a": "1", "content-length": "1"}, body=b"other"
        )
        changed = response_outcome(answer, given.copy(), given, with_body=True)
        assert changed is not None
        assert changed.headers == {"Content-Type": "text/plain", "X-A": "1"}
        assert changed.body == b"other"

    def test_modified_without_headers_or_body_leaves_them(self) -> None:
        given = given_response()
        for answer in (
            ResponseWriteResponse(modified=True),
            ResponseWriteResponse(modified=True, headers={}),
        ):
            assert response_outcome(answer, given.copy(), given, with_body=True) is None

    def test_an_empty_body_swallows_a_chunk(self) -> None:
        given = given_response(body=b"{}", is_stream_chunk=True)
        answer = ResponseWriteResponse(modified=True, body=b"")
        changed = response_outcome(answer, given.copy(), given, with_body=True)
        assert changed is not None
        assert changed.body == b""
        assert changed.is_stream_chunk

    def test_a_chunk_cannot_change_the_head(self) -> None:
        given = given_response(is_stream_chunk=True)
        shown = given.copy()
        shown.headers["x-a"] = "1"
        shown.status_code = 500
        assert response_outcome(None, shown, given, with_body=True) is None

    @pytest.mark.parametrize(
        "answer",
        [
            b"body",
            PluginResponse(),
            Response(),
            ResponseWriteResponse(modified="yes"),  # type: ignore[arg-type]
            ResponseWriteResponse(modified=True, body="text"),  # type: ignore[arg-type]
            ResponseWriteResponse(modified=True, headers={"x-a": "\n"}),
        ],
    )
    def test_rubbish_is_refused(self, answer: Any) -> None:
        given = given_response()
        with pytest.raises(RubbishError):
            response_outcome(answer, given.copy(), given, with_body=True)

    @pytest.mark.parametrize("status", [0, 99, 101, 600, "200", None])
    def test_a_rubbish_status_is_refused(self, status: Any) -> None:
        given = given_response()
        shown = given.copy()
        shown.status_code = status
        with pytest.raises(RubbishError):
            response_outcome(None, shown, given, with_body=True)


class TestCollectors:
    """What a collector's answer means."""

    def test_nothing_means_collected_and_not_handled(self) -> None:
        assert collector_outcome(None) == DataCollectionResponse(success=True, handled=False)

    def test_a_failure_is_never_handled(self) -> None:
        answer = DataCollectionResponse(success=False, handled=True, error_message="sink is down")
        assert collector_outcome(answer) == DataCollectionResponse(
            success=False, handled=False, error_message="sink is down"
        )

    @pytest.mark.parametrize(
        "answer",
        [
            True,
            {"handled": True},
            DataCollectionResponse(handled=1),  # type: ignore[arg-type]
            DataCollectionResponse(success=None),  # type: ignore[arg-type]
            DataCollectionResponse(error_message=ValueError("x")),  # type: ignore[arg-type]
        ],
    )
    def test_rubbish_is_refused(self, answer: Any) -> None:
        with pytest.raises(RubbishError):
            collector_outcome(answer)

    def test_a_batch_has_one_answer_for_each_event(self) -> None:
        handled = DataCollectionResponse(handled=True)
        assert batch_outcome([handled, None], 2) == [handled, DataCollectionResponse()]
        assert batch_outcome(None, 2) == [DataCollectionResponse()] * 2

    @pytest.mark.parametrize("answer", [[], [None] * 3, 5, "ab", [None, 5], DataCollectionResponse()])
    def test_a_rubbish_batch_is_refused(self, answer: Any) -> None:
        with pytest.raises(RubbishError):
            batch_outcome(answer, 2)


class TestMetadata:
    """What a handler notes for later hooks."""

    @pytest.fixture
    def ctx(self, call: CallInfo) -> Context:
        services = Services(RecordingLogger(), FakeGateway())
        return Context(call, Surroundings(runtime="gateway", services=services))

    def test_notes_are_kept(self, ctx: Context, call: CallInfo) -> None:
        ctx.metadata["a"] = "1"
        del ctx.metadata["kept"]
        keep_metadata(ctx, call, {"b": "2"})
        assert call.metadata == {"a": "1", "b": "2"}

    @pytest.mark.parametrize(("key", "value"), [("a", 1), (1, "a"), ("a", None)])
    def test_rubbish_is_refused_and_nothing_kept(
        self, ctx: Context, call: CallInfo, key: Any, value: Any
    ) -> None:
        ctx.metadata["ok"] = "1"
        ctx.metadata[key] = value
        with pytest.raises(RubbishError):
            keep_metadata(ctx, call)
        assert call.metadata == {"kept": "yes"}
