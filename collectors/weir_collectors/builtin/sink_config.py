"""A sink's configuration as a struct, from which its JSON Schema is made."""

from __future__ import annotations

import ssl
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from weir_collectors.builtin.errors import SinkConfigError

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_MIB: Final = 1024 * 1024

Secret = Annotated[str, Meta(extra_json_schema={"writeOnly": True})]
"""Text that the management API shows to nobody; empty when it is not set."""

Seconds = Annotated[float, Meta(gt=0, le=300)]


class SinkConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every sink can be told."""

    batch_size: Annotated[
        int, Meta(ge=1, le=10_000, description="Events in one request, at most; they also fill a batch.")
    ] = 250
    batch_bytes: Annotated[
        int, Meta(ge=1024, le=100 * _MIB, description="Bytes in one request, unless one event is larger.")
    ] = 5 * _MIB
    flush_interval_ms: Annotated[
        int,
        Meta(ge=0, le=60_000, description="Least time between two requests, unless a batch is full."),
    ] = 100
    handled: Annotated[
        bool, Meta(description="Whether the database need not keep what the sink has acknowledged.")
    ] = True


class TlsConfig(SinkConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sink behind TLS can be told in addition."""

    ca_file: Annotated[
        str, Meta(description="PEM file of the authorities to trust instead of the system's.")
    ] = ""
    verify_certificates: Annotated[
        bool, Meta(description="False trusts anybody who answers; for tests only.")
    ] = True

    def ssl_context(self) -> ssl.SSLContext:
        """What these two mean. Reads the file.

        Raises:
            SinkConfigError: There is no such file, or no certificate in it.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise SinkConfigError(
                f"ca_file: {self.ca_file} is not a readable PEM file of certificates ({error})",
                field="ca_file",
            ) from error
        if not self.verify_certificates:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


_Config = TypeVar("_Config", bound=SinkConfig)


def config_schema(config_type: type[SinkConfig]) -> dict[str, Any]:
    """The JSON Schema of a configuration without structs in it."""
    _, components = msgspec.json.schema_components([config_type])
    return {"$schema": _DIALECT, **components[config_type.__name__]}


def read_config(config: dict[str, Any], config_type: type[_Config]) -> _Config:
    """Read a configuration.

    Raises:
        SinkConfigError: It is not as the schema says; the message names the place.
    """
    try:
        return msgspec.convert(config, config_type)
    except msgspec.ValidationError as error:
        raise SinkConfigError(f"the configuration cannot be used: {error}") from error
