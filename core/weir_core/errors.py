"""The root of every error Weir raises on purpose."""

from __future__ import annotations

from collections.abc import Iterable


class WeirError(Exception):
    """What happened, to what, and what to do about it.

    ``retryable`` says whether the same call may succeed later without anyone changing anything.
    Each room derives its own small tree from this class.
    """

    retryable = False


class InvalidInputError(WeirError):
    """Input that will never be right as it stands.

    Args:
        message: What is wrong and how to mend it.
        field: Dotted path of the offending field (``collector.timeout_ms``), empty when there is none.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class UnknownVendorError(InvalidInputError):
    """A vendor name that Weir has no table for; the message lists those it has."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no vendor {name!r}; use one of {', '.join(known)}", field="vendor")


class SettingsError(WeirError):
    """A setting that is unknown or out of range; the message names it."""


class SecretError(WeirError):
    """A secret that cannot be read with the keys at hand."""


class SseEventTooLargeError(WeirError):
    """An upstream sent one server-sent event larger than the gateway is willing to hold."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the upstream sent a server-sent event of more than {limit} bytes")
        self.limit = limit
