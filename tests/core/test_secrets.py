import base64
import pickle

import msgspec
import pytest
import rich.pretty
from hypothesis import given
from hypothesis import strategies as st

from weir_core.errors import SecretError, SettingsError
from weir_core.secrets import KeyRing, Secret, hash_token, issue_token, key_id_of, token_matches


class Holder(msgspec.Struct):
    api_key: Secret


SECRET = Secret("sk-very-secret")


@pytest.mark.parametrize(
    "shown",
    [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>40}",
        repr(Holder(SECRET)),
        repr([SECRET]),
        rich.pretty.pretty_repr(SECRET),
        rich.pretty.pretty_repr(Holder(SECRET)),
    ],
)
def test_a_secret_is_not_shown_by_whatever_prints_it(shown: str) -> None:
    assert "very-secret" not in shown
    assert "***" in shown


def test_a_secret_is_shown_by_reveal_and_survives_encoding() -> None:
    assert SECRET.reveal() == "sk-very-secret"
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(Holder(SECRET)), type=Holder).api_key == SECRET
    assert pickle.loads(pickle.dumps(SECRET)) == SECRET


def test_an_issued_token_says_who_it_is_and_matches_its_hash_only() -> None:
    token, other = issue_token("wk"), issue_token("wk")
    secret = token.secret.reveal()

    assert secret.startswith(f"wk_{token.key_id}_")
    assert key_id_of(secret, "wk") == token.key_id
    assert token_matches(secret, token.secret_hash)
    assert not token_matches(secret, other.secret_hash)
    assert not token_matches(secret + "x", token.secret_hash)


def test_an_issued_token_has_256_random_bits_behind_its_key_id() -> None:
    _, _, random = issue_token("wt").secret.reveal().split("_", 2)

    assert len(base64.urlsafe_b64decode(random + "=")) == 32


def test_issuing_a_token_does_not_print_it() -> None:
    token = issue_token("wk")

    assert token.secret.reveal() not in repr(token)


@pytest.mark.parametrize(
    "secret", ["", "wk", "wk_1", "wk__", "wk__x", "wk_1_", "wt_1_x", "sk-ant-1", "WK_1_x", " wk_1_x"]
)
def test_a_foreign_key_has_no_key_id_here(secret: str) -> None:
    assert key_id_of(secret, "wk") is None


@given(st.text(st.characters()))
def test_every_text_that_a_caller_may_send_has_a_hash(secret: str) -> None:
    assert token_matches(secret, hash_token(secret))


@pytest.fixture
def keyring() -> KeyRing:
    return KeyRing.from_text(KeyRing.generate_key())


@given(st.binary(max_size=100), st.binary(max_size=20))
def test_what_is_sealed_is_opened_in_its_own_context_only(plaintext: bytes, context: bytes) -> None:
    keyring = KeyRing.from_text(KeyRing.generate_key())
    sealed = keyring.seal(plaintext, context)

    assert keyring.open(sealed, context) == plaintext
    assert plaintext == b"" or plaintext not in sealed or len(plaintext) < 4
    with pytest.raises(SecretError, match="was damaged or changed"):
        keyring.open(sealed, context + b"x")


def test_sealing_twice_gives_different_values(keyring: KeyRing) -> None:
    assert keyring.seal(b"same", b"llm 1") != keyring.seal(b"same", b"llm 1")


def test_a_sealed_value_that_was_cut_or_changed_anywhere_is_a_secret_error(keyring: KeyRing) -> None:
    sealed = keyring.seal(b"plain", b"llm 1")

    for length in range(len(sealed)):
        with pytest.raises(SecretError):
            keyring.open(sealed[:length], b"llm 1")
    for position in range(len(sealed)):
        changed = bytes([*sealed[:position], sealed[position] ^ 1, *sealed[position + 1 :]])
        with pytest.raises(SecretError):
            keyring.open(changed, b"llm 1")


def test_the_newest_key_seals_and_the_older_ones_still_open() -> None:
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    sealed_before = KeyRing.from_text(old).seal(b"plain", b"c")
    rotated = KeyRing.from_text(f"{new}, {old}")

    assert rotated.open(sealed_before, b"c") == b"plain"
    assert KeyRing.from_text(new).open(rotated.seal(b"plain", b"c"), b"c") == b"plain"


def test_a_value_of_a_key_that_is_gone_says_which_key_is_missing(keyring: KeyRing) -> None:
    sealed = KeyRing.from_text(KeyRing.generate_key()).seal(b"plain", b"c")

    with pytest.raises(SecretError, match=f"fingerprint {sealed[:4].hex()}; put the key"):
        keyring.open(sealed, b"c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" , ", "is empty"),
        ("not base64!", "key 1 is not base64"),
        ("c2hvcnQ=", "key 1 has 5 bytes, need 32"),
        ("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=,c2hvcnQ=", "key 2 has 5 bytes, need 32"),
    ],
)
def test_bad_keys_are_a_settings_error_that_says_which(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        KeyRing.from_text(text)
    assert "WEIR_ENCRYPTION_KEYS" in str(caught.value)
