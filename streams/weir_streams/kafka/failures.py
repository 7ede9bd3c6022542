"""What the Kafka client raises, in the event path's own terms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiokafka import errors  # type: ignore[import-untyped]

from weir_streams.errors import KafkaRefusedError, LogUnavailableError

_REQUESTS: Final = {
    errors.InvalidConfigurationError: "correct the setting of [kafka] that it names",
    errors.InvalidPartitionsError: "correct kafka.partitions",
    errors.InvalidReplicationFactorError: "kafka.replication_factor must not be above the number of brokers",
    errors.PolicyViolationError: "ask whoever set that policy, or change the [kafka] table",
}
_REFUSALS: Final = (
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.ClusterAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.SaslAuthenticationFailed,
    errors.TopicAuthorizationFailedError,
    errors.UnsupportedSaslMechanismError,
)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise this room's errors for the client's.

    Raises:
        KafkaRefusedError: The brokers do not let us, or cannot do what they are asked; retrying does not help
            until somebody changes that.
        LogUnavailableError: Retryable; anything else.
    """
    try:
        yield
    except _REFUSALS as error:
        raise KafkaRefusedError(
            f"Kafka refuses {doing}: {_said(error)}; check kafka.security_protocol, kafka.sasl_* and the "
            "rights (weir topics show --acls)"
        ) from error
    except tuple(_REQUESTS) as error:
        raise KafkaRefusedError(f"Kafka refuses {doing}: {_said(error)}; {_REQUESTS[type(error)]}") from error
    except (TimeoutError, errors.KafkaError, errors.ConsumerStoppedError, OSError) as error:
        raise LogUnavailableError(f"Kafka is not there for {doing}: {_said(error)}") from error


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
