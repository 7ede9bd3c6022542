"""Keys of callers (hashed), keys of vendors (encrypted), and what keeps both out of logs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from weir_core.errors import SecretError, SettingsError

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_FINGERPRINT_BYTES: Final = 4


class Secret(msgspec.Struct, frozen=True, array_like=True):
    """A text that must not appear in a log; only ``reveal`` and an encoder show it."""

    value: str

    def reveal(self) -> str:
        """The secret itself."""
        return self.value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __rich_repr__(self) -> list[tuple[str, str]]:
        # A struct shows its fields to rich, which draws tracebacks with the values of variables.
        return [("value", "***")]


class IssuedToken(msgspec.Struct, frozen=True):
    """A freshly made bearer secret: shown once, stored as its hash."""

    key_id: str
    secret: Secret
    secret_hash: bytes


def issue_token(prefix: str) -> IssuedToken:
    """Make ``<prefix>_<key id>_<random>`` with 256 random bits.

    Args:
        prefix: ``wk`` for an app's credential, ``wt`` for a management token.
    """
    key_id = os.urandom(8).hex()
    random = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
    secret = f"{prefix}_{key_id}_{random}"
    return IssuedToken(key_id, Secret(secret), hash_token(secret))


def hash_token(secret: str) -> bytes:
    """SHA-256; a slow hash adds nothing to 256 random bits. Any string has a hash, as callers send any."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def key_id_of(secret: str, prefix: str) -> str | None:
    """The key id inside a bearer secret, or None when it does not have the form of ours.

    It only says which stored hash to compare with; it proves nothing.
    """
    parts = secret.split("_", 2)
    if len(parts) != 3 or parts[0] != prefix or not all(parts):
        return None
    return parts[1]


def token_matches(secret: str, secret_hash: bytes) -> bool:
    """Whether this is the secret of that hash; compared in constant time."""
    return hmac.compare_digest(hash_token(secret), secret_hash)


class KeyRing:
    """AES-256-GCM with a list of keys: the first encrypts, any decrypts.

    A sealed value is ``fingerprint (4 bytes) | nonce (12) | ciphertext and tag``.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise SettingsError("WEIR_ENCRYPTION_KEYS is empty; give at least one key (base64, 32 bytes)")
        self._ciphers = {_fingerprint(key): AESGCM(key) for key in keys}
        self._newest = _fingerprint(keys[0])

    @property
    def fingerprints(self) -> tuple[bytes, ...]:
        """Of the keys, newest first."""
        return tuple(self._ciphers)

    @classmethod
    def from_text(cls, text: str) -> KeyRing:
        """Read comma-separated base64 keys, newest first.

        Raises:
            SettingsError: A key is not base64 or not 32 bytes long.
        """
        keys = []
        for position, part in enumerate(filter(None, (piece.strip() for piece in text.split(","))), 1):
            try:
                key = base64.b64decode(part, validate=True)
            except ValueError as error:
                raise SettingsError(f"WEIR_ENCRYPTION_KEYS: key {position} is not base64") from error
            if len(key) != _KEY_BYTES:
                raise SettingsError(f"WEIR_ENCRYPTION_KEYS: key {position} has {len(key)} bytes, need 32")
            keys.append(key)
        return cls(keys)

    @staticmethod
    def generate_key() -> str:
        """A new key in the form that ``from_text`` reads."""
        return base64.b64encode(os.urandom(_KEY_BYTES)).decode()

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt; ``context`` (what the value is) is authenticated and must be given again to open it."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._newest + nonce + self._ciphers[self._newest].encrypt(nonce, plaintext, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt.

        Raises:
            SecretError: No key fits, or the value or its context was changed.
        """
        fingerprint, rest = fingerprint_of(sealed), sealed[_FINGERPRINT_BYTES:]
        cipher = self._ciphers.get(fingerprint)
        if cipher is None:
            raise SecretError(
                f"no encryption key with fingerprint {fingerprint.hex()}; "
                "put the key that sealed this value back into WEIR_ENCRYPTION_KEYS"
            )
        try:
            return cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            # The nonce of a value that was cut short is too short itself, which is a ValueError.
            what = context.decode(errors="replace")
            raise SecretError(
                f"a sealed value ({what}) was damaged or changed; restore or replace it"
            ) from error


def fingerprint_of(sealed: bytes) -> bytes:
    """The first bytes of a sealed value: they name its key and tell nothing of it."""
    return sealed[:_FINGERPRINT_BYTES]


def _fingerprint(key: bytes) -> bytes:
    return hashlib.sha256(b"weir key fingerprint" + key).digest()[:_FINGERPRINT_BYTES]
