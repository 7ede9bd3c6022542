"""The line with which a go-plugin process says where it listens.

``CORE|APP|NETWORK|ADDRESS|PROTOCOL|CERT``
"""

from __future__ import annotations

import re
from typing import Final

from weir_host.errors import PluginStartError

_CORE_PROTOCOL: Final = "1"
_APP_PROTOCOL: Final = "1"
_SHOWN: Final = 200
_HANDSHAKE: Final = re.compile(r"\s*\d+\|\d+\|\w+\|.")


def is_handshake(line: str) -> bool:
    """Whether a line is meant as a handshake; what else a plugin prints before it is only output."""
    return _HANDSHAKE.match(line) is not None


def parse_handshake(line: str) -> str:
    """Return the gRPC target that a line names for which ``is_handshake`` holds.

    Raises:
        PluginStartError: It is one that this host cannot answer.
    """
    core, app, network, address, *rest = (part.strip() for part in line.strip().split("|"))
    if core != _CORE_PROTOCOL or app != _APP_PROTOCOL:
        raise PluginStartError(
            f"it speaks go-plugin protocol {core[:_SHOWN]} with application protocol {app[:_SHOWN]}; "
            f"this gateway speaks {_CORE_PROTOCOL} and {_APP_PROTOCOL}"
        )
    protocol = rest[0] if rest else "netrpc"
    if protocol != "grpc":
        raise PluginStartError(f"it speaks {protocol[:_SHOWN]}, and this gateway only gRPC")
    if len(rest) > 1 and rest[1]:
        raise PluginStartError("it insists on TLS, which plugins on one machine do without")
    match network:
        case "unix":
            return f"unix:{address}"
        case "tcp":
            return address
    raise PluginStartError(f"it listens on a network of kind {network[:_SHOWN]!r}; unix and tcp are known")
