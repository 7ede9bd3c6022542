"""A plugin as a process of its own: the plugin's end of go-plugin's wire.

| module      | what                                                                     |
|-------------|--------------------------------------------------------------------------|
| `process`   | the life of the process, from its cookie to its end                      |
| `ending`    | what ends it: its host, a signal, the death of its parent                |
| `handshake` | the cookie, the socket, the line on standard output                      |
| `output`    | standard output after that line, for `GRPCStdio`                         |
| `methods`   | a gRPC service out of coroutine functions                                |
| `handlers`  | one way to await a handler, however it is written                        |
| `plugin`    | the plugin and what it has learned of its host                           |
| `hooks`     | requests, answers and streams                                            |
| `collectors`| events, one by one and in batches                                        |
| `lifecycle` | initialize, sessions, shutdown, schema, manifest, description            |
| `broker`    | where the host's services are                                            |
| `gateway`   | `ctx.services.gateway` over them                                         |
| `logging`   | `ctx.services.logger` as lines that hosts read                           |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from weir_sdk.services import Runtime

if TYPE_CHECKING:
    from weir_sdk.plugin import BasePlugin


def serve(make_plugin: Callable[[], BasePlugin], *, runtime: Runtime | None = None) -> None:
    """Run a plugin as a process of its own; the last line of a plugin's script.

    Blocks until the host ends the process; call it in the main thread. A host starts the script and speaks
    with it over standard output and a unix socket; without a host the process says so and exits 1.

    Args:
        make_plugin: The plugin's class, or a function that makes the plugin. What either prints does no harm;
            what a script flushes before this call keeps hosts other than ours from starting it.
        runtime: Where the plugin runs, for hosts that do not say so in the environment.
    """
    from weir_sdk.serving.process import run  # noqa: PLC0415 - gRPC takes longer to import than all the rest

    run(make_plugin, runtime)
