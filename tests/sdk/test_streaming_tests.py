"""What an author has to test the hooks of streams."""

from __future__ import annotations

import pytest

from weir_sdk import (
    BasePlugin,
    Context,
    Response,
    ResponseWriteResponse,
    StreamComplete,
    StreamCompleteHandler,
)
from weir_sdk.errors import RubbishError
from weir_sdk.testing import make_context, make_stream_complete, run, stream_through


class Editor(BasePlugin, StreamCompleteHandler):
    """Drops ``drop``, doubles ``double``, holds back ``hold`` until the end, and keeps the finished stream."""

    def __init__(self) -> None:
        super().__init__("editor", "1")
        self.held = b""
        self.finished: StreamComplete | None = None

    async def on_before_write_headers(self, ctx: Context, response: Response) -> None:
        response.headers["X-Edited"] = "yes"
        response.status_code = 201

    def on_before_write(self, ctx: Context, response: Response) -> ResponseWriteResponse | None:
        match response.body:
            case b"drop":
                return ResponseWriteResponse(modified=True, body=b"")
            case b"double":
                response.body = b"data: double\n\nevent: again\ndata: double\n\n"
            case b"hold":
                self.held, response.body = response.body, b""
            case b"[DONE]":
                response.body = b"data: %b\n\ndata: [DONE]\n\n" % self.held
            case b"rubbish":
                response.body = "text"  # type: ignore[assignment]
        return None

    def on_stream_complete(self, ctx: Context, stream: StreamComplete) -> None:
        self.finished = stream
        ctx.metadata["chunks"] = str(stream.chunk_count)


def test_a_stream_goes_through_all_hooks_of_a_plugin() -> None:
    plugin, ctx = Editor(), make_context()
    streamed = run(
        stream_through,
        plugin,
        [{"a": 1}, b"drop", b"double", b"hold", b"[DONE]"],
        ctx=ctx,
        request_body=b"{}",
    )
    assert streamed.events == [b'{"a":1}', b"double", b"double", b"hold", b"[DONE]"]
    assert (streamed.status_code, streamed.headers["x-edited"]) == (201, "yes")
    assert plugin.finished is not None
    assert (plugin.finished.chunk_count, plugin.finished.request_body) == (5, b"{}")
    assert plugin.finished.body.endswith(b"data: [DONE]\n\n")
    assert ctx.metadata["chunks"] == "5"


def test_a_plugin_without_stream_hooks_passes_everything() -> None:
    streamed = run(stream_through, BasePlugin("quiet", "1"), [b"a", b"b"])
    assert (streamed.events, streamed.status_code) == ([b"a", b"b"], 200)


def test_rubbish_is_refused_as_the_gateway_would() -> None:
    with pytest.raises(RubbishError, match="a body is bytes"):
        run(stream_through, Editor(), [b"rubbish"])


def test_a_finished_stream_can_be_made() -> None:
    stream = make_stream_complete([b"a", b"[DONE]"], request_json={"stream": True})
    assert (stream.body, stream.chunk_count) == (b"data: a\n\ndata: [DONE]\n\n", 2)
    assert stream.request_body == b'{"stream":true}'
    assert stream.headers["content-type"] == "text/event-stream"


def test_a_stream_shows_nothing_of_its_content_in_a_log() -> None:
    assert "secret" not in repr(make_stream_complete([b"secret"], request_body=b"secret"))
    assert isinstance(Editor(), StreamCompleteHandler)
