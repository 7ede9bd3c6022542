"""The root of every error Weir raises on purpose."""

from __future__ import annotations


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


class SettingsError(WeirError):
    """A setting that is unknown or out of range; the message names it."""


class SecretError(WeirError):
    """A secret that cannot be read with the keys at hand."""
