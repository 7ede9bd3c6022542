"""What can go wrong in the collectors' room."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from weir_core.blotting import blot_out
from weir_core.errors import InvalidInputError, SettingsError, WeirError
from weir_host.errors import PluginError

_LONGEST_TEXT: Final = 2000


class CollectorsError(WeirError):
    """Root of this room's own errors.

    Args:
        message: What happened, in a collector's own words where it has any.
        unquoted: The same without a word of the collector's, which may quote an event; the message itself
            where it is all ours.
    """

    def __init__(self, message: str, *, unquoted: str | None = None) -> None:
        super().__init__(message)
        self.unquoted = message if unquoted is None else unquoted


class DatabaseUrlError(SettingsError, CollectorsError):
    """A database URL that names no database Weir can use."""


class DatabaseUnavailableError(CollectorsError):
    """The database did not take or give rows; nothing of the attempt was kept."""

    retryable = True


class CollectorNotReadyError(CollectorsError):
    """A collector is starting, has failed, or is not running in this process."""

    retryable = True


class CollectorStartingError(CollectorsError):
    """A collector is on its way, which says nothing about its sink; it is to be waited for."""

    retryable = True


class SinkAwayError(CollectorsError):
    """A collector is not to be asked now: its sink is away, or it is too far behind."""

    retryable = True


class CollectorRetiredError(CollectorsError):
    """A collector was taken out of service or replaced while an event waited for it."""

    retryable = True


class CollectorRefusedError(CollectorsError):
    """A collector answered that it failed, and whether another try may help."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message, unquoted="the collector reported a failure")
        self.retryable = retryable


class BatchRefusedError(CollectorsError):
    """A collector refused a whole batch for good; which of its events is to blame is not known."""

    retryable = True


class UnreadableEventError(CollectorsError):
    """A record whose value is not an event this release can read; it never will be."""


class UnsupportedCollectorError(InvalidInputError, CollectorsError):
    """A collector option whose behaviour does not exist yet; the plugin must not be stored with it."""


class InvalidPageError(InvalidInputError, CollectorsError):
    """A page of records that cannot be given: its cursor or its limit is wrong."""


class StaleMarksError(CollectorsError):
    """Somebody else added events of the same spool; the accountant reads its marks anew and goes on."""

    retryable = True


class NoDeadLetterError(CollectorsError):
    """A dead letter or a range that does not exist, or not any more."""


def brief(error: BaseException, secrets: Iterable[Any] = ()) -> str:
    """An error's text as it may be kept: a plugin's may be of any length and hold anything."""
    text = blot_out(str(error) or type(error).__name__, secrets)
    return text[:_LONGEST_TEXT].replace("\x00", "\ufffd")


def unquoted(error: BaseException) -> str:
    """An error's text without a word of a plugin's: for those who may read no bodies."""
    return error.unquoted if isinstance(error, PluginError | CollectorsError) else type(error).__name__
