"""go-plugin's broker: how a plugin learns where the host's services are."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from grpc import aio

from weir_host.child.stubs import broker
from weir_proto.go_plugin_pb2 import ConnInfo

_AGAIN_S: Final = 1.0


class Broker:
    """The one broker stream of a plugin process, with one offer on it.

    A Go plugin forgets an offer after five seconds, and stalls for 25 when it then wants to take it. So the
    offer is made again every second until it is taken.
    """

    def __init__(self, channel: aio.Channel) -> None:
        self._stream = broker(channel).StartStream()

    async def offer(self, offer: ConnInfo) -> bool:
        """Offer for the first time; false when the plugin has no broker."""
        try:
            await self._stream.write(offer)
        except (aio.AioRpcError, asyncio.InvalidStateError):
            return False
        return True

    async def keep_offering(self, offer: ConnInfo, taken: asyncio.Event) -> None:
        """Offer until somebody has come, then keep the stream open; ends with the plugin."""
        with suppress(aio.AioRpcError, asyncio.InvalidStateError):
            while not taken.is_set():
                await self._stream.write(offer)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_AGAIN_S):
                        await taken.wait()
            while await self._stream.read() is not aio.EOF:
                pass

    def end(self) -> None:
        """End the stream."""
        self._stream.cancel()
