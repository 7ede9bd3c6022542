"""What a Go plugin prints after its handshake: go-plugin takes its pipes away and streams it to us."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from google.protobuf import empty_pb2
from grpc import aio

from weir_host.child.output import Lines
from weir_host.child.stubs import stdio
from weir_proto.go_plugin_pb2 import StdioData


async def read_stdio(channel: aio.Channel, on_line: Callable[[str], None]) -> None:
    """Read until the plugin ends; unread, a plugin that prints would block. Some plugins do not serve it."""
    lines = {StdioData.STDOUT: Lines(on_line), StdioData.STDERR: Lines(on_line)}
    with suppress(aio.AioRpcError):
        async for piece in stdio(channel).StreamStdio(empty_pb2.Empty()):
            if piece.channel in lines:
                lines[piece.channel].feed(piece.data)
    for rest in lines.values():
        rest.end()
