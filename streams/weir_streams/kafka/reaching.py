"""Whether the brokers can be reached at all, and if not, why not."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

from aiokafka.conn import create_conn  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]

from weir_core.errors import SettingsError
from weir_streams.kafka.failures import translated
from weir_streams.kafka.settings import KafkaSettings

_DEFAULT_PORT: Final = 9092
_HANDSHAKE_S: Final = 2.0
_FOR_CLIENTS_ONLY: Final = frozenset({"bootstrap_servers", "metadata_max_age_ms"})


async def reach(settings: KafkaSettings) -> dict[str, Any]:
    """Knock at the brokers as a client would; return what clients are made with.

    The client itself only says that it could not connect, and leaves the reason to its log.

    Raises:
        KafkaRefusedError: None let us in, the first for a reason that will not pass.
        LogUnavailableError: Retryable; none let us in.
        SettingsError: A certificate or an address cannot be used.
    """
    options = await asyncio.to_thread(settings.client_options)
    first: Exception | None = None
    for server in options["bootstrap_servers"]:
        try:
            await _knock(server, options)
            return options
        except (KafkaError, OSError, TimeoutError) as error:
            first = first or await _explained(error, server, settings)
    with translated(f"a connection to {settings.bootstrap_servers}"):
        raise first or SettingsError("kafka.bootstrap_servers names no server")


async def _knock(server: str, options: dict[str, Any]) -> None:
    host, port = _address(server)
    own = {name: value for name, value in options.items() if name not in _FOR_CLIENTS_ONLY}
    async with asyncio.timeout(options["request_timeout_ms"] / 1000):
        connection = await create_conn(host, port, **own)
    connection.close()


async def _explained(error: Exception, server: str, settings: KafkaSettings) -> Exception:
    """The error, or that we speak plainly to a port that wants TLS: the broker only hangs up on that."""
    if settings.security.uses_tls or not await _speaks_tls(*_address(server)):
        return error
    wanted = "SASL_SSL" if settings.security.uses_sasl else "SSL or SASL_SSL"
    return OSError(
        f"{server} speaks TLS and kafka.security_protocol is {settings.security.protocol}; set it to {wanted}"
    )


async def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # Nothing is sent but the handshake: whose certificate it is does not matter.
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_HANDSHAKE_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _address(server: str) -> tuple[str, int]:
    host, colon, port = server.rpartition(":")
    if not colon:
        return server, _DEFAULT_PORT
    if not port.isdecimal():
        raise SettingsError(f"kafka.bootstrap_servers has {server!r}; write host:port, comma-separated")
    return host.strip("[]"), int(port)
