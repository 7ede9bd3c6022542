#!/usr/bin/env python3
"""A plugin without a handler; its behaviour at the start and at the end hangs on the environment."""

import os
import signal
import threading
import time

from weir_sdk import BasePlugin, Context, serve


class Bare(BasePlugin):
    def __init__(self) -> None:
        super().__init__("bare", "0.1")
        if os.environ.get("BARE") == "fails":
            raise RuntimeError("no licence")
        if os.environ.get("BARE") == "never ends":
            threading.Thread(target=time.sleep, args=(600,)).start()

    def shutdown(self, ctx: Context) -> None:
        if os.environ.get("BARE") == "never ends":
            time.sleep(600)


def make() -> object:
    return object() if os.environ.get("BARE") == "no plugin" else Bare()


if __name__ == "__main__":
    # As a shell starts a background job; a plugin must obey SIGTERM and ignore SIGINT all the same.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    serve(make)  # type: ignore[arg-type]  # a script that is wrong says so when it starts
