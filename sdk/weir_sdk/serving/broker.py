"""go-plugin's broker, the plugin's end: where the host's services are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from weir_proto.go_plugin_pb2 import ConnInfo
from weir_sdk.serving.methods import Stream


class Broker:
    """Remembers what the host offers, for ever: a host may offer only once."""

    def __init__(self) -> None:
        self._offers: dict[int, asyncio.Future[str]] = {}

    @property
    def methods(self) -> Mapping[str, Stream]:
        """By their names in GRPCBroker."""
        return {"StartStream": self.stream}

    async def stream(self, offers: AsyncIterator[ConnInfo]) -> AsyncIterator[ConnInfo]:
        """Take offers for as long as the host makes them; a plugin makes none."""
        async for offer in offers:
            self.take(offer)
        return
        yield ConnInfo()

    def take(self, offer: ConnInfo) -> None:
        """Remember an offer; a later one for the same id takes its place."""
        network = "unix:" if offer.network == "unix" else ""
        target = f"{network}{offer.address}"
        known = self._offers.get(offer.service_id)
        if known is None or (known.done() and known.result() != target):
            self._offers[offer.service_id] = known = asyncio.get_running_loop().create_future()
        if not known.done():
            known.set_result(target)

    async def target(self, service_id: int) -> str:
        """The gRPC target of a service; waits until it is on offer."""
        if service_id not in self._offers:
            self._offers[service_id] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._offers[service_id])
