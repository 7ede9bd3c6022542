"""Headers: what is read, what crosses the gateway, and what never does."""

from __future__ import annotations

import pytest

from weir_proxy.errors import RefusalError
from weir_proxy.headers import (
    PresentedCredential,
    RequestHeaders,
    client_headers,
    header_lines,
    presented_credential,
    query_without_key,
    reserved_headers,
    upstream_lines,
)


def headers(*items: tuple[str, str]) -> RequestHeaders:
    return RequestHeaders([(name.encode(), value.encode()) for name, value in items])


@pytest.mark.parametrize(
    ("items", "query", "expected"),
    [
        ([("authorization", "Bearer k1")], "", PresentedCredential("k1", "bearer")),
        ([("authorization", "bearer   k1 ")], "", PresentedCredential("k1", "bearer")),
        ([("x-api-key", "k1")], "", PresentedCredential("k1", "api_key")),
        ([("x-goog-api-key", "k1")], "", PresentedCredential("k1", "api_key")),
        ([], "alt=sse&key=k1", PresentedCredential("k1", "api_key")),
        ([("authorization", "Bearer k1"), ("x-api-key", "k1")], "", PresentedCredential("k1", "bearer")),
        ([("authorization", "Basic abc")], "", None),
        ([], "", None),
    ],
)
def test_the_callers_key_is_found_wherever_a_vendors_client_puts_it(
    items: list[tuple[str, str]], query: str, expected: PresentedCredential | None
) -> None:
    assert presented_credential(headers(*items), query) == expected


def test_two_different_keys_are_refused() -> None:
    with pytest.raises(RefusalError) as caught:
        presented_credential(headers(("authorization", "Bearer k1"), ("x-api-key", "k2")), "")
    assert caught.value.code == "duplicate_credential"


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "content-type"])
def test_a_second_copy_of_a_header_that_the_gateway_goes_by_is_refused(name: str) -> None:
    with pytest.raises(RefusalError, match=name):
        headers((name, "a"), (name, "a")).refuse_duplicates()


def test_a_repeated_header_that_nobody_goes_by_is_fine() -> None:
    headers(("accept-language", "de"), ("accept-language", "en")).refuse_duplicates()


def sent_upstream(
    client: RequestHeaders, changed: dict[str, str | None], set_by_gateway: list[tuple[str, str]]
) -> list[tuple[str, str]]:
    lines = upstream_lines(client, changed, reserved_headers(set_by_gateway)) + header_lines(set_by_gateway)
    pairs = [line.partition(": ") for line in lines.split("\r\n") if line]
    return [(name, value) for name, _, value in pairs]


def test_no_credential_and_no_hop_by_hop_header_goes_upstream() -> None:
    sent = sent_upstream(
        headers(
            ("authorization", "Bearer client"),
            ("x-api-key", "client"),
            ("cookie", "a=b"),
            ("host", "gateway"),
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("openai-beta", "assistants=v2"),
        ),
        {},
        [("authorization", "Bearer vendor")],
    )
    assert sent == [("openai-beta", "assistants=v2"), ("authorization", "Bearer vendor")]


def test_a_plugins_header_overwrites_the_clients_and_the_gateways_wins_over_both() -> None:
    sent = sent_upstream(
        headers(("x-team", "old"), ("x-gone", "1")),
        {"x-team": "new", "x-gone": None, "authorization": "Bearer plugin", "content-length": "9"},
        [("authorization", "Bearer vendor")],
    )
    assert sent == [("x-team", "new"), ("authorization", "Bearer vendor")]


def test_spaces_behind_a_value_are_no_part_of_it() -> None:
    assert RequestHeaders([(b"authorization", b"Bearer \t ")]).get("authorization") == "Bearer"


def test_headers_become_lines_and_a_line_break_in_one_is_refused() -> None:
    assert header_lines([("a", "1"), ("b", "2")]) == "a: 1\r\nb: 2\r\n"
    for smuggled in ("v\r\nx: y", "v\n", "v\r"):
        with pytest.raises(ValueError, match="line break"):
            header_lines([("a", smuggled)])


def test_the_callers_key_is_taken_out_of_the_query_and_nothing_else() -> None:
    assert query_without_key("alt=sse&key=secret&x=1") == "alt=sse&x=1"
    assert query_without_key("monkey=%20a+b") == "monkey=%20a+b"


def test_repeated_answer_headers_survive_and_the_upstreams_request_id_does_not() -> None:
    returned = client_headers(
        [
            ("set-cookie", "a"),
            ("set-cookie", "b"),
            ("x-request-id", "up"),
            ("transfer-encoding", "chunked"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
        ]
    )
    assert returned == [("set-cookie", "a"), ("set-cookie", "b")]


def test_without_a_vendors_key_a_plugin_may_bring_the_credential() -> None:
    sent = sent_upstream(
        headers(("authorization", "Bearer client")), {"authorization": "Bearer of the plugin"}, []
    )
    assert sent == [("authorization", "Bearer of the plugin")]


def test_a_plugin_that_only_tidies_the_clients_key_does_not_send_it_to_the_vendor() -> None:
    client = headers(("authorization", "bearer wk_secret"))
    assert sent_upstream(client, {"authorization": "Bearer wk_secret"}, []) == []
    assert sent_upstream(client, {"x-copy": "key=wk_secret"}, []) == []


def test_beside_the_vendors_key_no_other_credential_goes_upstream() -> None:
    sent = sent_upstream(headers(), {"authorization": "Bearer other"}, [("x-api-key", "sk-vendor")])
    assert sent == [("x-api-key", "sk-vendor")]


def test_a_key_in_the_query_is_found_and_removed_however_its_name_is_written() -> None:
    assert presented_credential(headers(), "%6bey=k1") == PresentedCredential("k1", "api_key")
    assert query_without_key("%6bey=k1&alt=sse") == "alt=sse"
