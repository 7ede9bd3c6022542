"""What can go wrong between a plugin and its gateway, as a plugin author meets it.

``retryable`` says whether the same call may succeed later without anyone changing anything. The gateway reads
it from any exception that leaves a handler; an exception without it counts as retryable.
"""

from __future__ import annotations


class SdkError(Exception):
    """Root of this package's errors."""

    retryable = False


class PermanentError(SdkError):
    """Raise it from a handler when trying again is pointless, for example when a sink refuses a document."""


class BodyNotJsonError(SdkError):
    """A body was asked for as JSON and is not, or holds what JSON cannot say."""


class RubbishError(SdkError):
    """A handler gave back what the gateway cannot use. The message follows the handler's name."""


class HandlerQuitError(SdkError):
    """A handler tried to end more than itself: it exited the process, or was cancelled from within."""

    retryable = True


class ServiceError(SdkError):
    """A service of the gateway refused or failed."""


class ServiceNotAvailableError(ServiceError):
    """This service does not exist where the plugin runs; the message says where it does."""


class MissingScopeError(ServiceError):
    """The plugin lacks a service scope; an admin grants it in the plugin's ``service_scopes``."""


class NotFoundError(ServiceError):
    """No such app, LLM or price."""


class PayloadTooLarge(ServiceError):  # noqa: N818 - the name is a promise of the documentation
    """A payload for control is larger than 1 MiB."""


class MetadataTooLarge(ServiceError):  # noqa: N818 - likewise
    """A payload's metadata or correlation id is over a limit; the message says which."""


class QueueFull(ServiceError):  # noqa: N818 - likewise
    """A payload was not sent: the gateway has no room for it now, or its disk refuses writes."""

    retryable = True


class ServiceUnreachableError(ServiceError):
    """The gateway did not answer; it may be starting or stopping."""

    retryable = True
