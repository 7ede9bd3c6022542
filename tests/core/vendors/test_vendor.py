import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_core.errors import InvalidInputError, UnknownVendorError
from weir_core.vendors import VENDORS, Operation, Vendor, get_vendor

OPENAI = get_vendor("openai")
COMPATIBLE = get_vendor("openai_compatible")
ANTHROPIC = get_vendor("anthropic")


def name_of(operation: Operation | None) -> str | None:
    return operation.name if operation is not None else None


def test_a_vendor_is_found_by_its_name() -> None:
    assert [get_vendor(name).name for name in VENDORS] == ["openai", "openai_compatible", "anthropic"]


def test_an_unknown_vendor_is_an_input_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UnknownVendorError, match="openai, openai_compatible, anthropic") as caught:
        get_vendor("open-ai")
    assert isinstance(caught.value, InvalidInputError)
    assert caught.value.field == "vendor"


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize(
    ("vendor", "method", "path", "name"),
    [
        (OPENAI, "POST", "/chat/completions", "chat.completions"),
        (OPENAI, "POST", "/completions", "completions"),
        (OPENAI, "POST", "/responses", "responses"),
        (OPENAI, "POST", "/embeddings", "embeddings"),
        (OPENAI, "GET", "/models", "models.list"),
        (OPENAI, "GET", "/models/gpt-4o", "models.get"),
        (OPENAI, "GET", "/models/ft:gpt-4o:acme::id", "models.get"),
        (COMPATIBLE, "POST", "/chat/completions", "chat.completions"),
        (COMPATIBLE, "GET", "/models/Qwen%2FQwen3-8B", "models.get"),
        (ANTHROPIC, "POST", "/messages", "messages"),
        (ANTHROPIC, "POST", "/messages/count_tokens", "messages.count_tokens"),
        (ANTHROPIC, "GET", "/models", "models.list"),
        (ANTHROPIC, "GET", "/models/claude-sonnet-4-5", "models.get"),
    ],
)
def test_a_call_is_matched_with_or_without_its_version(
    vendor: Vendor, prefix: str, method: str, path: str, name: str
) -> None:
    assert name_of(vendor.match(method, prefix + path)) == name


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("DELETE", "/v1/models/gpt-4o"),
        ("post", "/v1/chat/completions"),
        ("POST", "/v1/messages/batches"),
        ("POST", "/v1/batches"),
        ("GET", "/v1/files"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/V1/chat/completions"),
        ("POST", "v1/chat/completions"),
        ("POST", "/v1/v1/chat/completions"),
        ("POST", "/v1//chat/completions"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/a/b"),
        ("GET", "/v1/models/.."),
        ("GET", "/v1/models/%2e%2e"),
        ("GET", "/v1/models/..%2Ffiles"),
        ("GET", "/v1/models/a%2F%2Fb"),
        ("GET", "/v1/models/a%2F.%2Fb"),
        ("GET", "/v1/models/%252e%252e"),
        ("GET", "/v1/models/a%00"),
        ("GET", "/v1/models/a%3Fb"),
        ("GET", "/v1/models/a%5Cb"),
        ("GET", "/v1/models/a\n"),
        ("GET", ""),
        ("GET", "/"),
        ("GET", "/v1"),
    ],
)
def test_what_is_not_in_the_table_is_matched_by_no_vendor(vendor: Vendor, method: str, path: str) -> None:
    assert vendor.match(method, path) is None


def test_only_a_compatible_server_may_have_another_version() -> None:
    assert OPENAI.match("POST", "/v2/chat/completions") is None
    assert ANTHROPIC.match("POST", "/v1beta/messages") is None
    assert name_of(COMPATIBLE.match("POST", "/v4/chat/completions")) == "chat.completions"
    assert name_of(COMPATIBLE.match("POST", "/v1beta2/chat/completions")) == "chat.completions"
    assert COMPATIBLE.match("POST", "/version1/chat/completions") is None


@given(st.text("/.%2eEfFmodelsv1\\ :", max_size=16))
def test_a_matched_path_never_climbs(tail: str) -> None:
    path = f"/v1/models/{tail}"
    if OPENAI.match("GET", path) is not None:
        decoded = tail.lower().replace("%2f", "/").replace("%2e", ".")
        assert "/" not in tail
        assert not {"", ".", ".."} & set(decoded.split("/"))


@pytest.mark.parametrize(
    ("vendor", "endpoint", "path", "url"),
    [
        (
            OPENAI,
            "https://api.openai.com/v1",
            "/v1/chat/completions",
            "https://api.openai.com/v1/chat/completions",
        ),
        (
            OPENAI,
            "https://api.openai.com/v1",
            "/chat/completions",
            "https://api.openai.com/v1/chat/completions",
        ),
        (OPENAI, "https://api.openai.com/v1/", "/v1/models", "https://api.openai.com/v1/models"),
        (OPENAI, "https://api.openai.com", "/v1/models", "https://api.openai.com/v1/models"),
        (OPENAI, "https://api.openai.com/", "/models", "https://api.openai.com/v1/models"),
        (OPENAI, "http://v1", "/models", "http://v1/v1/models"),
        (OPENAI, "http://v/v1", "/v1/models", "http://v/v1/models"),
        (OPENAI, "https://proxy.example/openai", "/v1/models", "https://proxy.example/openai/v1/models"),
        (OPENAI, "https://proxy.example/openai", "/models", "https://proxy.example/openai/v1/models"),
        (COMPATIBLE, "http://127.0.0.1:11434/v1", "/v1/embeddings", "http://127.0.0.1:11434/v1/embeddings"),
        (COMPATIBLE, "http://127.0.0.1:11434", "/v1/embeddings", "http://127.0.0.1:11434/v1/embeddings"),
        (COMPATIBLE, "http://127.0.0.1:11434", "/embeddings", "http://127.0.0.1:11434/embeddings"),
        (COMPATIBLE, "https://h/api/paas/v4", "/v1/embeddings", "https://h/api/paas/v4/embeddings"),
        (COMPATIBLE, "https://h/v1beta/openai", "/v1/embeddings", "https://h/v1beta/openai/embeddings"),
        (COMPATIBLE, "https://h/v1beta/openai/", "/embeddings", "https://h/v1beta/openai/embeddings"),
        (COMPATIBLE, "https://h/v1x", "/v1/embeddings", "https://h/v1x/v1/embeddings"),
        (COMPATIBLE, "https://h/v1", "/v1/models/a%2Fb", "https://h/v1/models/a%2Fb"),
        (ANTHROPIC, "https://api.anthropic.com", "/v1/messages", "https://api.anthropic.com/v1/messages"),
        (ANTHROPIC, "https://api.anthropic.com", "/messages", "https://api.anthropic.com/v1/messages"),
        (ANTHROPIC, "https://api.anthropic.com/v1", "/v1/messages", "https://api.anthropic.com/v1/messages"),
        (ANTHROPIC, "https://h/v1/acme/anthropic", "/v1/messages", "https://h/v1/acme/anthropic/v1/messages"),
    ],
)
def test_the_base_path_is_kept_and_a_version_stands_once(
    vendor: Vendor, endpoint: str, path: str, url: str
) -> None:
    assert vendor.upstream_url(endpoint, path, "") == url
    assert vendor.upstream_url(endpoint, path, "beta=true&x=%20") == f"{url}?beta=true&x=%20"


def test_the_vendors_key_goes_where_the_vendor_looks_for_it() -> None:
    assert OPENAI.upstream_auth_headers("sk-1") == [("authorization", "Bearer sk-1")]
    assert COMPATIBLE.upstream_auth_headers("sk-1") == [("authorization", "Bearer sk-1")]
    assert ANTHROPIC.upstream_auth_headers("sk-2") == [("x-api-key", "sk-2")]


def test_every_vendor_knows_all_headers_that_may_carry_a_key() -> None:
    for vendor in VENDORS.values():
        assert vendor.credential_headers == {"authorization", "x-api-key", "x-goog-api-key", "api-key"}
        used = {name for name, _ in vendor.upstream_auth_headers("key")}
        assert used <= vendor.credential_headers


def test_anthropic_needs_a_version_header() -> None:
    assert ANTHROPIC.default_headers == (("anthropic-version", "2023-06-01"),)
    assert OPENAI.default_headers == ()


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
def test_the_tables_are_consistent(vendor: Vendor) -> None:
    for operation in vendor.operations:
        assert operation.reads_body is (operation.method == "POST")
        assert set(operation.output_limit_fields) <= operation.gateway_keys
        assert operation.model_in_body is ("model" in operation.gateway_keys)
        assert operation.may_stream is ("stream" in operation.gateway_keys)
        assert operation.wants_include_usage is ("stream_options" in operation.gateway_keys)
        assert not operation.may_stream or operation.metered


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
@given(
    body=st.binary(max_size=40) | st.sampled_from([b"[" * 5000, b'{"choices":' + b"[" * 5000, b"null", b"{}"])
)
def test_no_body_makes_reading_an_answer_raise(vendor: Vendor, body: bytes) -> None:
    for operation in vendor.operations:
        assert operation.read_answer(body).usage is None


def test_an_operation_that_consumes_nothing_reads_nothing() -> None:
    operation = ANTHROPIC.match("POST", "/v1/messages/count_tokens")

    assert operation is not None
    assert not operation.metered
    assert operation.read_answer(b'{"input_tokens": 2095}').usage is None
