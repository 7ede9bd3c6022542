"""What the response plugins make of a stream's events, one by one or all at once (docs/stream-hooks.md).

An event goes through the plugins in attachment order, and each sees what the one before it released. A plugin
in ``chunks`` mode gets each event as it comes; one in ``buffer`` mode gets everything before it in one piece
when the stream is over, and what it makes of that goes on as events to the plugins after it. One that is
``off`` is passed by.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from weir_core.errors import SseEventTooLargeError
from weir_core.vendors.sse import SseEvent
from weir_host.errors import PluginError, PluginProtocolError, PluginTimeoutError, PluginTooLargeError
from weir_proxy.call import Call
from weir_proxy.configuration import HookPoint
from weir_proxy.frames import only_shown, reframed, reframed_whole
from weir_proxy.hooks import HookPipeline
from weir_sdk import Headers, Response

ALL_CALLS_S: Final = 5.0
"""Seconds that one plugin's calls for one stream may take in all."""

MOST_BUFFERED_BYTES: Final = 8 * 1024 * 1024
"""Bytes of a stream that a plugin in ``buffer`` mode can have held for it."""


class StreamHooks:
    """The plugins of one stream.

    Args:
        hooks: Calls them.
        call: The call whose answer it is.
        headers: The answer's headers as they went out, shown with each part.
    """

    def __init__(self, hooks: HookPipeline, call: Call, headers: Headers) -> None:
        self._stages: list[_Stage] = []
        for point in call.served.response:
            if point.stream_mode != "off" and hooks.may_serve(call, point, "on_before_write"):
                plugin = _StreamPlugin(hooks, call, point, headers)
                self._stages.append(
                    _BufferStage(plugin) if point.stream_mode == "buffer" else _ChunkStage(plugin)
                )

    def __bool__(self) -> bool:
        return bool(self._stages)

    async def take(self, event: SseEvent) -> Sequence[SseEvent]:
        """Return what may go out now, given one more event.

        Raises:
            RefusalError: A closed plugin failed: nothing more may go out.
        """
        events: Sequence[SseEvent] = (event,)
        for stage in self._stages:
            events = await stage.take(events)
            if not events:
                break
        return events

    async def end(self) -> Sequence[SseEvent]:
        """Return what is left to go out when there are no more events.

        Raises:
            RefusalError: A closed plugin failed: nothing more may go out.
        """
        events: Sequence[SseEvent] = ()
        for stage in self._stages:
            events = [*await stage.take(events), *await stage.end()]
        return events


class _Stage(Protocol):
    async def take(self, events: Sequence[SseEvent]) -> Sequence[SseEvent]: ...
    async def end(self) -> Sequence[SseEvent]: ...


class _StreamPlugin:
    """One plugin's calls for one stream, within their time, with their failures dealt with."""

    def __init__(self, hooks: HookPipeline, call: Call, point: HookPoint, headers: Headers) -> None:
        self.name = point.plugin
        self.is_closed = point.fail_closed
        self._hooks = hooks
        self._call = call
        self._point = point
        self._headers = headers
        self._left_s = ALL_CALLS_S
        self._failed = False
        self._given_up = False

    async def show(
        self, body: bytes, frame: Callable[[bytes], list[SseEvent]], *, chunk: bool
    ) -> list[SseEvent] | None:
        """Show the plugin a body and frame its answer; None when it stays, or the plugin is passed over.

        Raises:
            RefusalError: It failed and may not be passed over.
        """
        if self._left_s <= 0:
            self._give_up()
            return None
        call = self._call
        shown = Response(
            status_code=call.status,
            headers=self._headers,
            body=body,
            is_stream_chunk=chunk,
            request_id=call.request_id,
        )
        within_s = min(self._point.timeout_s, self._left_s)
        began = time.perf_counter()
        try:
            after = await self._hooks.stream_body(call, self._point, shown, within_s)
            return None if after is None else frame(after.body)
        except SseEventTooLargeError as error:
            self.fail(PluginProtocolError(f"plugin {self.name} answered too much: {error}"))
        except PluginError as error:
            self.fail(error)
        finally:
            self._left_s -= time.perf_counter() - began
        return None

    def fail(self, error: PluginError) -> None:
        """Pass the plugin over.

        Raises:
            RefusalError: It may not be passed over.
        """
        again, self._failed = self._failed, True
        self._hooks.failed(self._call, self._point, error, again=again)

    def _give_up(self) -> None:
        if not self._given_up:
            self._given_up = True
            self.fail(PluginTimeoutError(f"plugin {self.name} has used its {ALL_CALLS_S:g} s for one stream"))


class _ChunkStage:
    """A plugin that sees each event's data as it comes, and no event without any, such as a comment.

    What a closed plugin does not see goes no further: neither such an event's text nor the other fields of
    one with data.
    """

    def __init__(self, plugin: _StreamPlugin) -> None:
        self._plugin = plugin

    async def take(self, events: Sequence[SseEvent]) -> Sequence[SseEvent]:
        if len(events) == 1:
            return await self._one(events[0])
        return [released for event in events for released in await self._one(event)]

    async def end(self) -> Sequence[SseEvent]:
        return ()

    async def _one(self, event: SseEvent) -> Sequence[SseEvent]:
        if self._plugin.is_closed:
            event = only_shown(event)
        if not event.data:
            return (event,)
        made = await self._plugin.show(event.data, partial(reframed, event), chunk=True)
        return (event,) if made is None else made


class _BufferStage:
    """A plugin that sees the whole stream in one piece, as long as it is not too large to be held."""

    def __init__(self, plugin: _StreamPlugin) -> None:
        self._plugin = plugin
        self._held: list[SseEvent] = []
        self._held_bytes = 0
        self._open = False

    async def take(self, events: Sequence[SseEvent]) -> Sequence[SseEvent]:
        if self._open:
            return events
        self._held.extend(events)
        self._held_bytes += sum(len(event.raw) for event in events)
        if self._held_bytes <= MOST_BUFFERED_BYTES:
            return ()
        self._open = True
        limit, name = MOST_BUFFERED_BYTES, self._plugin.name
        self._plugin.fail(
            PluginTooLargeError(f"over {limit} bytes of a stream are not held for plugin {name}")
        )
        return self._released()

    async def end(self) -> Sequence[SseEvent]:
        if not self._held:
            return ()
        whole = b"".join(event.raw for event in self._held)
        made = await self._plugin.show(whole, reframed_whole, chunk=False)
        return self._released() if made is None else made

    def _released(self) -> Sequence[SseEvent]:
        held, self._held = self._held, []
        return held
