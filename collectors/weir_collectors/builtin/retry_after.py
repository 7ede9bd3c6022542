"""What a server asks of those whose request it did not take."""

from __future__ import annotations


def retry_after_s(header: str | None) -> float:
    """Seconds of a ``Retry-After`` header (RFC 9110, section 10.2.3); 0 when it is absent, or a date.

    A date would have to be compared with a clock that the server does not share.
    """
    value = (header or "").strip()
    return float(value) if value.isascii() and value.isdigit() else 0.0
