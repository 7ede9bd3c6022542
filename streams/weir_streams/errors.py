"""What can go wrong on the event path. ``retryable`` says whether the same call may succeed later."""

from __future__ import annotations

from weir_core.errors import WeirError


class StreamsError(WeirError):
    """Root of every error of the event path."""


class SpoolError(StreamsError):
    """Something about this worker's spool."""


class SpoolFullError(SpoolError):
    """No room can be set aside for one more request; nothing was admitted, nothing is lost."""

    retryable = True


class TooManyInFlightError(SpoolError):
    """Every in-flight slot is taken."""

    retryable = True


class SpoolWriteError(SpoolError):
    """The disk refused a write or a sync; the slot stays taken, its family is written later or recovered."""

    retryable = True


class FamilyError(SpoolWriteError):
    """A family that cannot be encoded even in its barest form; its slot makes one at the next start."""

    retryable = False


class PayloadRefusedError(SpoolError):
    """A payload that is too large to be an event, whatever the spool's room."""


class SlotError(SpoolError):
    """A slot was used after it was freed."""


class SpoolClosedError(SpoolError):
    """The spool was closed before this call."""


class SpoolFormatError(SpoolError):
    """A file is not of this format or of a newer version of it."""


class LogUnavailableError(StreamsError):
    """The log cannot be read or an offset cannot be stored now."""

    retryable = True


class GroupBusyError(StreamsError):
    """Another live member holds this consumer group."""

    retryable = True


class KafkaRefusedError(StreamsError):
    """Kafka answers but does not let us: wrong credentials, or rights that are missing."""


class TopicMissingError(LogUnavailableError):
    """A topic does not exist (yet); ``weir topics apply`` makes it."""


class ConfigUnreadableError(StreamsError):
    """What stands in a configuration topic makes up no revision, or none that our keys open."""

    retryable = True


class DeliveryError(StreamsError):
    """Kafka did not take a batch; a new producer sends it again."""

    retryable = True


class RecordRefusedError(DeliveryError):
    """Kafka will never take a batch as it is: something in it is too large or not valid."""


class TimestampRefusedError(RecordRefusedError):
    """Kafka does not take the time of a batch: this host's clock, or the brokers', is far off."""


class ResendingError(StreamsError):
    """Another process already sends again what Kafka refused."""

    retryable = True


class WindowsError(StreamsError):
    """Something about the windows of the streams app."""


class StoreBrokenError(WindowsError):
    """The windows' file is damaged, of another version or of another length of windows."""


class EventsSkippedError(WindowsError):
    """The consumer passed over events; reading goes on from the windows' own place with a new one."""

    retryable = True


class ConsumerStalledError(WindowsError):
    """There are events to read, and none was read for too long; a new process reads on."""

    retryable = True


class ConsumerFailedError(WindowsError):
    """Faust gave up; a new process reads on."""

    retryable = True


class WebhookError(WindowsError):
    """An alert's receiver did not take it; it is posted again."""

    retryable = True


class WebhookRefusedError(WebhookError):
    """The receiver refused this alert for what it is; others may be taken."""


class StreamsExtraMissingError(WindowsError):
    """The packages of the streams app are not installed."""
