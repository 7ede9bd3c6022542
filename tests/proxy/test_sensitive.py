"""What counts as sensitive, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_core.secrets import issue_token
from weir_proxy.sensitive import find_sensitive, is_card_number

KEY_BLOCK = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\n-----END RSA PRIVATE KEY-----"


def parts(text: str) -> set[tuple[str, str]]:
    return {(span.kind, text[span.start : span.end]) for span in find_sensitive(text)}


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(issue_token("wk").secret.reveal(), id="a credential of ours"),
        pytest.param(issue_token("wt").secret.reveal(), id="a token of ours"),
        "sk-mock-upstream",
        "sk-abc123",
        "sk-proj-4fJx0_1q-VbTg7aZ8sKd",
        "sk-ant-api03-8sJd_7aZ-41xq",
        "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "xoxb-2048-abcdefghij",
        "AKIAIOSFODNN7EXAMPLE",
        "hf_abcdefghijklmnopqrstuvwx",
        "gsk_abcdefghijklmnopqrstuvwx",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
        KEY_BLOCK,
        "-----BEGIN PRIVATE KEY-----\nthe text ends before the block does",
    ],
)
def test_keys_are_found_whole_by_their_shape(secret: str) -> None:
    text = f"Use {secret}"
    assert ("secret", secret) in parts(text)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc", "abc"),
        ('"authorization": "Basic dXNlcjpwYXNz"', "dXNlcjpwYXNz"),
        ("send bearer 0123456789abcdef please", "0123456789abcdef"),
        ("api_key=hunter2hunter2", "hunter2hunter2"),
        ('"password": "correct-horse"', "correct-horse"),
    ],
)
def test_a_secret_is_found_by_what_stands_before_it(text: str, secret: str) -> None:
    assert ("secret", secret) in parts(text)


@pytest.mark.parametrize(
    "text",
    [
        "We install sk-learn on the disk-management-and-storage box.",
        "The bearer of this letter is honest.",
        "Meet me @ noon, see user@localhost or @decorator.",
        "max_tokens: 100000000, top_p: 0.95",
        "logprob -0.4111111111111111 and 4111111111111111.5",
        "It happened at 1764000000000 or 1764000000000000.",
        "4111 1111 1111 1112",
        "id a4111111111111111 or 4111111111111111f",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert parts(text) == set()


@pytest.mark.parametrize(
    "card",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "378282246310005",
        "3782 822463 10005",
        "6011000990139424",
        "5555555555554444",
        "3530111333300000",
        "4222222222222",
    ],
)
def test_card_numbers_are_found_with_and_without_groups(card: str) -> None:
    assert parts(f"pay with {card} 123, thanks") == {("card", card)}
    assert parts(f"ref 2024 {card}.") == {("card", card)}


@given(st.text("0123456789", min_size=12, max_size=18), st.sampled_from("23456"))
def test_one_check_digit_makes_a_card_number_and_the_other_nine_do_not(rest: str, first: str) -> None:
    digits = first + rest[1:]
    assert sum(is_card_number(digits + check) for check in "0123456789") == 1


@pytest.mark.parametrize(
    "address", ["a@b.io", "first.last+tag@mail.example.co.uk", "o_o%x@sub-domain.example.org", "jörg@büro.de"]
)
def test_mail_addresses_are_found(address: str) -> None:
    assert parts(f"Write to <{address}>.") == {("email", address)}
