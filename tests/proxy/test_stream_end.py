"""Plugins are told of finished streams, whatever way they ended, and never at the answer's cost."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.proxy.conftest import BODY, Streamed, StreamingRoom
from tests.proxy.test_stream_hooks import CLOSED, DONE, STREAM, Named, Swallow, chunk

from weir_proxy import relay
from weir_proxy.errors import UpstreamBrokenError
from weir_proxy.hooks import HookPipeline
from weir_proxy.stream_end import StreamEnds
from weir_sdk import Context, Response, StreamComplete


class Told(Named):
    """Remembers what it is told, for the test."""

    seen: list[tuple[StreamComplete, dict[str, str]]]

    def on_stream_complete(self, ctx: Context, stream: StreamComplete) -> None:
        self.seen.append((stream, dict(ctx.metadata)))


@pytest.fixture(autouse=True)
def forget() -> None:
    Told.seen = []


async def test_a_plugin_is_told_what_was_released_and_with_what(room: StreamingRoom) -> None:
    streamed = await room.stream(STREAM, (Swallow, {}), (Told, {}))
    [(stream, metadata)] = Told.seen
    assert stream.body == streamed.client.body
    assert stream.chunk_count == 5
    assert stream.status_code == 200
    assert stream.headers["Content-Type"] == "text/event-stream"
    assert stream.headers["X-Request-Id"] == "r-1"
    assert stream.request_body == BODY
    assert metadata == {}


async def test_the_answer_and_its_record_do_not_wait_for_it(room: StreamingRoom) -> None:
    released = asyncio.Event()
    entered = asyncio.Event()

    class Slow(Named):
        async def on_stream_complete(self, ctx: Context, stream: StreamComplete) -> None:
            entered.set()
            await released.wait()

    def watch(streamed: Streamed) -> None:
        streamed.client.when_finished = lambda: asyncio.get_running_loop().call_soon(released.set)

    # With a wait anywhere, the event that ends it would never come.
    streamed = await room.stream(STREAM, (Slow, {}), when=watch)
    assert streamed.client.end == DONE
    assert entered.is_set()
    assert streamed.call.recorded


async def test_it_is_told_of_what_came_before_a_hang_up(room: StreamingRoom) -> None:
    running: list[Streamed] = []

    async def hang_up() -> None:
        running[0].client.hang_up()
        await asyncio.Event().wait()

    streamed = await room.stream([*STREAM[:2], hang_up], (Told, {}), when=running.append)
    assert streamed.hung_up
    [(stream, _)] = Told.seen
    assert stream.body == b"".join(STREAM[:2])
    assert stream.chunk_count == 3


async def test_it_is_not_told_of_a_stream_whose_head_never_went_out(room: StreamingRoom) -> None:
    running: list[Streamed] = []

    class Leaving(Told):
        async def on_before_write_headers(self, ctx: Context, response: Response) -> None:
            running[0].client.hang_up()
            await asyncio.Event().wait()

    streamed = await room.stream(STREAM, (Leaving, {}), when=running.append)
    assert streamed.hung_up
    assert Told.seen == []


async def test_it_is_told_of_a_blocked_and_of_a_broken_stream(room: StreamingRoom) -> None:
    class Failing(Told):
        def on_before_write(self, ctx: Context, response: Response) -> None:
            if b"two" in response.body:
                raise RuntimeError("no")

    blocked = await room.stream(STREAM, (Failing, CLOSED))
    [(stream, _)] = Told.seen
    assert stream.body == blocked.client.body
    assert b"plugin_error" in stream.body
    Told.seen.clear()
    broken = await room.stream([chunk("one"), UpstreamBrokenError("gone")], (Told, {}))
    [(stream, _)] = Told.seen
    assert stream.body == broken.client.body
    assert stream.chunk_count == 1


async def test_of_a_long_stream_it_is_shown_the_beginning_and_told_so(
    room: StreamingRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "MOST_TOLD_BYTES", 150)
    streamed = await room.stream(STREAM, (Told, {}))
    [(stream, metadata)] = Told.seen
    assert stream.body == streamed.client.body[:150]
    assert metadata == {"weir_truncated": "true"}
    assert streamed.call.info.metadata == {}


async def test_its_failure_is_noted_and_the_next_plugin_is_told_all_the_same(room: StreamingRoom) -> None:
    class Raising(Named):
        def on_stream_complete(self, ctx: Context, stream: StreamComplete) -> None:
            raise RuntimeError("no")

    streamed = await room.stream(STREAM, (Raising, CLOSED), (Told, {}))
    assert streamed.call.outcome == "served"
    assert room.failures == [("PluginCallError", False)]
    assert len(Told.seen) == 1


async def test_one_that_hangs_is_ended_at_its_own_deadline_or_at_the_end_of_the_grace(
    room: StreamingRoom,
) -> None:
    class Hanging(Named):
        async def on_stream_complete(self, ctx: Context, stream: StreamComplete) -> None:
            await asyncio.Event().wait()

    hooks = HookPipeline(room.host, room._note_failure)
    room.ends = StreamEnds(hooks, deadline_s=0.01)
    await room.stream(STREAM, (Hanging, {}), (Told, {}))
    assert room.failures == [("PluginTimeoutError", False)]
    assert len(Told.seen) == 1
    room.ends = StreamEnds(hooks, deadline_s=60)
    streamed = await room.stream(STREAM, (Swallow, {}))
    await room.configure([(Hanging, {})], {})
    room.ends.tell(streamed.call, StreamComplete(), cut=False)
    await asyncio.wait_for(room.ends.close(0.01), 10)


async def test_plugins_that_cannot_keep_up_are_not_told_of_more_than_the_memory_can_hold(
    room: StreamingRoom,
) -> None:
    room.ends = StreamEnds(HookPipeline(room.host, room._note_failure), most_waiting_bytes=10)
    streamed = await room.stream(STREAM, (Told, {}))
    assert Told.seen == []
    assert room.failures == [("PluginNotReadyError", False)]
    assert streamed.call.outcome == "served"


async def test_nothing_is_kept_for_plugins_that_do_not_want_to_know(room: StreamingRoom) -> None:
    room.capture_limit = 0
    streamed = await room.stream([chunk("x" * 9000), *STREAM], (Swallow, {}), body_capture="none")
    assert streamed.call.response_body == b""
    assert json.loads(streamed.text.split("\n\n")[0].removeprefix("data: "))
