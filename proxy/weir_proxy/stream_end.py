"""Telling plugins of finished streams: after the client has all of it, and at no cost to the answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from weir_host.calls import CallInfo
from weir_host.errors import PluginNotReadyError
from weir_proxy.call import Call
from weir_proxy.configuration import HookPoint
from weir_proxy.held import release
from weir_proxy.hooks import HookPipeline
from weir_sdk import StreamComplete

MOST_TOLD_BYTES: Final = 8 * 1024 * 1024
"""Bytes of a stream that its plugins are shown; of a longer one, its beginning."""

CUT_MARK: Final = "weir_truncated"
"""In ``ctx.metadata`` (as ``true``) of a plugin that is shown only the beginning."""

_HANDLER: Final = "on_stream_complete"
_DEADLINE_S: Final = 10.0
_MOST_WAITING_BYTES: Final = 64 * 1024 * 1024


class StreamEnds:
    """The ``on_stream_complete`` calls of one worker, each in its own time.

    Args:
        hooks: Calls the plugins.
        deadline_s: Seconds that each plugin has.
        most_waiting_bytes: Bytes of streams that plugins are still to be told of; of more they are not told.
    """

    def __init__(
        self,
        hooks: HookPipeline,
        *,
        deadline_s: float = _DEADLINE_S,
        most_waiting_bytes: int = _MOST_WAITING_BYTES,
    ) -> None:
        self._hooks = hooks
        self._deadline_s = deadline_s
        self._most_waiting_bytes = most_waiting_bytes
        self._waiting_bytes = 0
        self._telling: set[asyncio.Task[None]] = set()

    def wanted(self, call: Call) -> bool:
        """Whether a plugin of the call's LLM has the handler, so that its stream is worth keeping."""
        return any(self._hooks.may_serve(call, point, _HANDLER) for point in call.served.response)

    def tell(self, call: Call, stream: StreamComplete, *, cut: bool) -> None:
        """Tell every plugin with the handler, in attachment order; returns at once.

        Args:
            call: Whose answer it was.
            stream: What went out.
            cut: Whether ``stream`` holds only its beginning.
        """
        points = [point for point in call.served.response if self._hooks.may_serve(call, point, _HANDLER)]
        size = len(stream.body) + len(stream.request_body)
        if self._waiting_bytes + size > self._most_waiting_bytes:
            for point in points:
                error = PluginNotReadyError(f"plugin {point.plugin} is too far behind with finished streams")
                self._hooks.missed(call, point, error)
            return
        metadata = {**call.info.metadata, CUT_MARK: "true"} if cut else dict(call.info.metadata)
        self._waiting_bytes += size
        call.plugins_are_told = True
        telling = asyncio.create_task(self._tell(call, points, replace(call.info, metadata=metadata), stream))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def close(self, grace_s: float) -> None:
        """Wait for the calls under way, at most for ``grace_s`` seconds, then end them."""
        if self._telling:
            _, late = await asyncio.wait(self._telling, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _tell(
        self, call: Call, points: list[HookPoint], info: CallInfo, stream: StreamComplete
    ) -> None:
        try:
            for point in points:
                await self._hooks.stream_complete(call, point, info, stream, self._deadline_s)
        finally:
            self._waiting_bytes -= len(stream.body) + len(stream.request_body)
            release(call)
