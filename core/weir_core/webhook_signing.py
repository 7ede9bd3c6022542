"""Signatures of webhooks, by the Standard Webhooks specification 1.0.0 (symmetric, ``v1``)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

_PREFIX: Final = "whsec_"


class Signer:
    """Signs with one secret: ``whsec_`` and base64, or any other text as it is.

    Raises:
        ValueError: What follows ``whsec_`` is no base64.
    """

    def __init__(self, secret: str) -> None:
        self._key = _key(secret)

    def headers(self, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
        """The three headers that go with a body. The signature covers all of it, the id and the time."""
        signed = b"%b.%d.%b" % (message_id.encode(), timestamp_s, body)
        signature = base64.b64encode(hmac.digest(self._key, signed, hashlib.sha256)).decode()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": f"v1,{signature}",
        }


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"what follows {_PREFIX} is not base64 ({error})") from error
