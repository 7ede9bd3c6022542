"""Handlers called as a gateway calls them, without one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar, overload

import msgspec

from weir_sdk.context import Context
from weir_sdk.outcomes import response_outcome, stream_outcome
from weir_sdk.plugin import BasePlugin
from weir_sdk.response import Response
from weir_sdk.stream import StreamComplete
from weir_sdk.testing.messages import make_context, make_response

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_FRAMED: Final = (b"data:", b"event:")


@overload
def run(
    handler: Callable[_Arguments, Coroutine[Any, Any, _Result]],
    *args: _Arguments.args,
    **kwargs: _Arguments.kwargs,
) -> _Result: ...
@overload
def run(
    handler: Callable[_Arguments, _Result | Awaitable[_Result]],
    *args: _Arguments.args,
    **kwargs: _Arguments.kwargs,
) -> _Result: ...
def run(handler: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a handler and return its answer, whether it is ``def`` or ``async def``.

    For tests that are plain functions; in an ``async def`` test, await the handler.
    """
    answer = handler(*args, **kwargs)
    return asyncio.run(_awaiting(answer)) if inspect.isawaitable(answer) else answer


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """What a client gets of a stream.

    Attributes:
        status_code: Status of the answer.
        headers: Its headers.
        events: The data of each event that was released.
        complete: What ``on_stream_complete`` was given.
    """

    status_code: int
    headers: Mapping[str, str]
    events: list[bytes]
    complete: StreamComplete


async def stream_through(
    plugin: BasePlugin,
    chunks: Iterable[bytes | dict[str, Any]],
    *,
    ctx: Context | None = None,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    request_body: bytes = b"",
) -> Streamed:
    """Send a stream through a plugin's response hooks, as in the ``chunks`` mode of an attachment.

    Args:
        plugin: Those of ``on_before_write_headers``, ``on_before_write`` and ``on_stream_complete`` that it
            has are called: once, for each chunk, and once.
        chunks: The data of each event from the model; dicts are sent as JSON.
        ctx: The context of all calls.
        status_code: Status of the model's answer.
        headers: More headers of it.
        request_body: What the client had asked.

    Raises:
        RubbishError: A handler gave back what the gateway cannot use.
    """
    ctx = ctx or make_context()
    opening = make_response(
        status_code=status_code, headers={"Content-Type": "text/event-stream", **(headers or {})}
    )
    head = await _after(plugin, "on_before_write_headers", ctx, opening)
    events: list[bytes] = []
    for chunk in chunks:
        body = chunk if isinstance(chunk, bytes) else msgspec.json.encode(chunk)
        shown = Response(
            status_code=head.status_code, headers=head.headers.copy(), body=body, is_stream_chunk=True
        )
        events += _data_of((await _after(plugin, "on_before_write", ctx, shown)).body)
    complete = StreamComplete(
        body=b"".join(b"data: %b\n\n" % event for event in events),
        headers=head.headers,
        status_code=head.status_code,
        chunk_count=len(events),
        request_body=request_body,
    )
    if (handler := getattr(plugin, "on_stream_complete", None)) is not None:
        stream_outcome(await _awaited(handler(ctx, complete.copy())))
    return Streamed(status_code=head.status_code, headers=head.headers, events=events, complete=complete)


async def _after(plugin: BasePlugin, name: str, ctx: Context, given: Response) -> Response:
    handler = getattr(plugin, name, None)
    if handler is None:
        return given
    shown = given.copy()
    answer = await _awaited(handler(ctx, shown))
    return response_outcome(answer, shown, given, with_body=given.is_stream_chunk) or given


def _data_of(body: bytes) -> list[bytes]:
    """The data of the events that a handler's body stands for: none, one, or several that it framed."""
    if not body.startswith(_FRAMED):
        return [body] if body else []
    blocks = (block.splitlines() for block in body.split(b"\n\n") if block.strip())
    return [
        b"\n".join(line.removeprefix(b"data:").lstrip() for line in lines if line.startswith(b"data:"))
        for lines in blocks
    ]


async def _awaited(answer: object) -> object:
    return await answer if inspect.isawaitable(answer) else answer


async def _awaiting(awaitable: Awaitable[_Result]) -> _Result:
    return await awaitable
