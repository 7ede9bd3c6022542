"""What a plugin process finds in its environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from weir_sdk.services import Runtime

# go-plugin would take these as a wish for TLS, or for one connection for everything.
_NOT_MEANT_FOR_PLUGINS: Final = ("PLUGIN_CLIENT_CERT", "PLUGIN_MULTIPLEX_GRPC", "PLUGIN_UNIX_SOCKET_GROUP")
_OUR_SETTINGS: Final = "WEIR_"


def plugin_environment(environ: Mapping[str, str], *, runtime: Runtime, socket_dir: Path) -> dict[str, str]:
    """The gateway's environment without its settings, and what go-plugin's handshake asks for.

    Settings (``WEIR_*``) hold the admin token, the encryption keys and the database's URL. The directory of
    our interpreter leads the path, so that ``#!/usr/bin/env python3`` finds the SDK.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(_OUR_SETTINGS) and name not in _NOT_MEANT_FOR_PLUGINS
    }
    return {
        **kept,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), environ.get("PATH", os.defpath))),
        # A Python plugin without our SDK may leave its handshake, and what it prints, in a buffer.
        "PYTHONUNBUFFERED": "1",
        "GRPC_VERBOSITY": environ.get("GRPC_VERBOSITY", "ERROR"),
        "AI_STUDIO_PLUGIN": "v1",
        "PLUGIN_MIN_PORT": "10000",
        "PLUGIN_MAX_PORT": "25000",
        "PLUGIN_PROTOCOL_VERSIONS": "1",
        "PLUGIN_RUNTIME": runtime,
        "PLUGIN_UNIX_SOCKET_DIR": str(socket_dir),
    }
