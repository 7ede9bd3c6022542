"""How a sink says what became of a request as a whole. What became of one event is a ``Refusal``."""

from __future__ import annotations

from weir_collectors.errors import CollectorsError
from weir_core.errors import InvalidInputError


class SinkError(CollectorsError):
    """Root of what ``Sink.send`` raises."""


class SinkUnreachableError(SinkError, ConnectionError):
    """The sink takes nothing now: nobody answers, it has too much to do, or it does not accept us.

    As a connection error it counts for the collector's breaker, so that an outage becomes one range of dead
    letters and not one for each event.

    Args:
        message: What happened, to what.
        retry_after_s: Seconds for which the sink asked to be left alone.
    """

    retryable = True

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RequestRefusedError(SinkError):
    """The sink refuses this request for good, without saying which of its events is to blame."""


class RequestTooLargeError(RequestRefusedError):
    """The sink takes no request of this size; a smaller one may do."""


class SinkConfigError(InvalidInputError, CollectorsError):
    """A configuration that the schema allows and the sink cannot use; the message names the field."""
