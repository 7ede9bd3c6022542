"""The gateway's own errors, as the vendors' client libraries see them."""

import json
from collections.abc import Callable

import anthropic
import httpx2
import openai
import pytest

from weir_core.vendors import StreamMark, get_vendor
from weir_core.vendors.sse import SseSplitter

REQUEST_ID = "0199e3a0-0000-7000-8000-000000000001"


def answering(status: int, content_type: str, header: str, body: bytes) -> httpx2.Client:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            status, headers={"content-type": content_type, header: REQUEST_ID}, content=body
        )

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def openai_client(status: int, content_type: str, body: bytes) -> openai.OpenAI:
    header = get_vendor("openai").request_id_header
    return openai.OpenAI(
        api_key="k", max_retries=0, http_client=answering(status, content_type, header, body)
    )


def anthropic_client(status: int, content_type: str, body: bytes) -> anthropic.Anthropic:
    header = get_vendor("anthropic").request_id_header
    return anthropic.Anthropic(
        api_key="k", max_retries=0, http_client=answering(status, content_type, header, body)
    )


@pytest.mark.parametrize(
    ("status", "code", "expected", "error_type"),
    [
        (400, "invalid_request_body", openai.BadRequestError, "invalid_request_error"),
        (401, "invalid_api_key", openai.AuthenticationError, "invalid_request_error"),
        (403, "model_not_allowed", openai.PermissionDeniedError, "invalid_request_error"),
        (404, "llm_not_found", openai.NotFoundError, "invalid_request_error"),
        (413, "request_too_large", openai.APIStatusError, "invalid_request_error"),
        (429, "insufficient_quota", openai.RateLimitError, "insufficient_quota"),
        (429, "budget_reserved", openai.RateLimitError, "rate_limit_error"),
        (502, "upstream_unreachable", openai.InternalServerError, "server_error"),
        (503, "plugin_unavailable", openai.InternalServerError, "server_error"),
        (504, "upstream_timeout", openai.InternalServerError, "server_error"),
    ],
)
@pytest.mark.parametrize("vendor", ["openai", "openai_compatible"])
def test_the_openai_client_raises_its_own_class(
    vendor: str, status: int, code: str, expected: type[openai.APIStatusError], error_type: str
) -> None:
    body = get_vendor(vendor).error(status, code, "What happened.", REQUEST_ID, field="model")
    client = openai_client(status, "application/json", body)

    with pytest.raises(openai.APIStatusError, match=r"What happened\.") as caught:
        client.models.list()

    error = caught.value
    assert type(error) is expected
    assert (error.code, error.type, error.param, error.request_id) == (code, error_type, "model", REQUEST_ID)
    assert json.loads(body)["request_id"] == REQUEST_ID


@pytest.mark.parametrize(
    ("status", "code", "expected", "error_type"),
    [
        (400, "invalid_request_body", anthropic.BadRequestError, "invalid_request_error"),
        (401, "invalid_api_key", anthropic.AuthenticationError, "authentication_error"),
        (403, "blocked_by_plugin", anthropic.PermissionDeniedError, "permission_error"),
        (404, "llm_not_found", anthropic.NotFoundError, "not_found_error"),
        (413, "request_too_large", anthropic.APIStatusError, "request_too_large"),
        (429, "insufficient_quota", anthropic.RateLimitError, "rate_limit_error"),
        (502, "upstream_unreachable", anthropic.InternalServerError, "api_error"),
        (503, "spool_full", anthropic.InternalServerError, "api_error"),
        (504, "upstream_timeout", anthropic.InternalServerError, "timeout_error"),
    ],
)
def test_the_anthropic_client_raises_its_own_class(
    status: int, code: str, expected: type[anthropic.APIStatusError], error_type: str
) -> None:
    body = get_vendor("anthropic").error(status, code, "What happened.", REQUEST_ID)
    client = anthropic_client(status, "application/json", body)

    with pytest.raises(expected, match=r"What happened\.") as caught:
        client.models.list()

    error = caught.value
    assert (error.status_code, error.type, error.request_id) == (status, error_type, REQUEST_ID)
    assert json.loads(body) == {
        "type": "error",
        "error": {"type": error_type, "message": "What happened.", "details": {"error_code": code}},
        "request_id": REQUEST_ID,
    }


def chat_stream(client: openai.OpenAI) -> object:
    return client.chat.completions.create(model="m", messages=[], stream=True)


def completion_stream(client: openai.OpenAI) -> object:
    return client.completions.create(model="m", prompt="", stream=True)


def response_stream(client: openai.OpenAI) -> object:
    return client.responses.create(model="m", input="", stream=True)


@pytest.mark.parametrize("start", [chat_stream, completion_stream, response_stream])
def test_the_openai_client_raises_for_an_error_in_the_middle_of_a_stream(
    start: Callable[[openai.OpenAI], list[object]],
) -> None:
    event = get_vendor("openai").sse_error(502, "upstream_broken", "It broke.", REQUEST_ID)
    client = openai_client(200, "text/event-stream", event)

    with pytest.raises(openai.APIError, match=r"It broke\.") as caught:
        list(start(client))
    assert caught.value.code == "upstream_broken"
    assert event.endswith(b"\n\n")


def test_the_anthropic_client_raises_for_an_error_in_the_middle_of_a_stream() -> None:
    event = get_vendor("anthropic").sse_error(502, "upstream_broken", "It broke.", REQUEST_ID)
    client = anthropic_client(200, "text/event-stream", event)

    with pytest.raises(anthropic.APIStatusError, match=r"It broke\.") as caught:
        list(client.messages.create(model="m", max_tokens=1, messages=[], stream=True))
    assert caught.value.error_code == "upstream_broken"


@pytest.mark.parametrize("vendor", ["openai", "openai_compatible", "anthropic"])
def test_an_error_of_the_gateway_ends_the_stream_for_the_gateways_own_reader(vendor: str) -> None:
    table = get_vendor(vendor)
    (event,) = SseSplitter().feed(table.sse_error(502, "upstream_broken", "It broke.", REQUEST_ID))
    for operation in table.operations:
        if operation.may_stream:
            reader = operation.stream_reader()

            assert reader.feed(event) is StreamMark.TERMINAL
            assert reader.failed
