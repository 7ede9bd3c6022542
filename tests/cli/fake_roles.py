"""Roles for real child processes, imported by them from this folder."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from weir_cli.roles.context import RoleContext


def _tell(context: RoleContext, **facts: object) -> None:
    """Leave a file that the test reads; it appears whole or not at all."""
    path = context.data_dir.root / f"{context.name}.json"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"pid": os.getpid(), **facts}))
    temporary.replace(path)


async def waiting(context: RoleContext) -> None:
    _tell(
        context,
        data_dir=str(context.data_dir.root),
        settings=context.settings.model_dump(mode="json"),
        environment=dict(os.environ),
        standard_input=sys.stdin.read(),
        uvloop=type(asyncio.get_running_loop()).__module__,
        group=os.getpgrp(),
    )
    print("a plugin prints")
    context.logger.info("waiting")
    await context.stop.stopping.wait()
    Path(context.data_dir.root / f"{context.name}.stopped").touch()


async def stubborn(context: RoleContext) -> None:
    _tell(context)
    await asyncio.Event().wait()


async def blocked(context: RoleContext) -> None:
    """Never gives the loop back, as a plugin with an endless loop would."""
    _tell(context)
    while True:
        time.sleep(0.05)


async def failing(context: RoleContext) -> None:
    raise RuntimeError("this role cannot work")


async def answering(context: RoleContext) -> None:
    """Answers each connection with this process's pid."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(os.getpid()).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, sock=context.listeners[0])
    _tell(context)
    await context.stop.stopping.wait()
    server.close()
