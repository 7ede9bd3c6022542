"""Identifiers: time-ordered, unguessable enough to be unique, cheap to make."""

from __future__ import annotations

import re

import uuid_utils

_CLIENT_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)


def new_id() -> str:
    """Return a fresh UUIDv7 (RFC 9562) in its 36-character form."""
    return str(uuid_utils.uuid7())


def valid_client_request_id(value: str) -> bool:
    """Whether a caller's own ``X-Request-Id`` is safe to keep in events and logs.

    It is when it has at most 128 letters, digits and signs that need no escaping in a log line or a URL.
    """
    return _CLIENT_REQUEST_ID.fullmatch(value) is not None
