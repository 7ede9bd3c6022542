"""Plugins as functions, the host that runs them, and the feed that names them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from weir_core.snapshot import Snapshot
from weir_sdk import DataCollectionResponse

Handler = Callable[[Any], Awaitable[DataCollectionResponse | None] | DataCollectionResponse | None]


class FakeInstance:
    """An ``Instance`` whose handlers are the functions a test gives it."""

    def __init__(self, plugin_id: int = 1, **handlers: Callable[..., Awaitable[Any]]) -> None:
        self.plugin_id = plugin_id
        self.name = f"plugin {plugin_id}"
        self.state = "ready"
        self.reason = ""
        self.restarts = 0
        self.handlers = handlers
        self.calls: list[Any] = []

    def implements(self, hook: str) -> bool:
        return hook.removeprefix("handle_") in self.handlers

    def turn(self, _handler: str) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def proxy_log(self, log: Any) -> Any:
        return await self._call("proxy_log", log)

    async def analytics(self, event: Any) -> Any:
        return await self._call("analytics", event)

    async def budget_usage(self, event: Any) -> Any:
        return await self._call("budget_usage", event)

    async def batch(self, events: Sequence[Any]) -> Any:
        return await self._call("batch", events)

    async def _call(self, hook: str, message: Any) -> Any:
        self.calls.append(message)
        return await self.handlers[hook](message)


class FakeHost:
    """A ``PluginHost`` with the instances a test puts there."""

    def __init__(self) -> None:
        self.instances: dict[int, FakeInstance] = {}
        self.applied: list[int] = []
        self.asked_when_applied: Callable[[], object] = lambda: None

    def put(self, plugin_id: int = 1, **handlers: Callable[..., Awaitable[Any]]) -> FakeInstance:
        self.instances[plugin_id] = FakeInstance(plugin_id, **handlers)
        return self.instances[plugin_id]

    def get(self, plugin_id: int) -> FakeInstance | None:
        return self.instances.get(plugin_id)

    async def apply(self, snapshot: Snapshot, ready_within: float = 0.5) -> None:
        self.asked_when_applied()
        self.applied.append(snapshot.revision)


class FakeFeed:
    """Hands out the snapshots that a test publishes."""

    def __init__(self) -> None:
        self._latest: Snapshot | None = None
        self._changed = asyncio.Event()

    def publish(self, revision: int, objects: Iterable[Any] = ()) -> None:
        self._latest = Snapshot(revision, objects)
        self._changed.set()

    async def wait_newer(self, revision: int) -> Snapshot:
        while self._latest is None or self._latest.revision <= revision:
            self._changed.clear()
            await self._changed.wait()
        return self._latest


async def handles(_message: Any) -> DataCollectionResponse:
    return DataCollectionResponse(handled=True)


async def passes(_message: Any) -> DataCollectionResponse:
    return DataCollectionResponse()


async def raises(_message: Any) -> DataCollectionResponse:
    raise RuntimeError("the sink choked")


async def hangs(_message: Any) -> DataCollectionResponse:
    await asyncio.Event().wait()
    raise AssertionError("never reached")


async def batch_handles(messages: Sequence[Any]) -> list[DataCollectionResponse]:
    return [DataCollectionResponse(handled=True) for _ in messages]
