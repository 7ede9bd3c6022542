"""A call that asks for a stream: its exchange with the upstream, which a hang-up of the client cuts short."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from weir_proxy.answer import finish_whole
from weir_proxy.call import Call
from weir_proxy.errors import ClientGoneError, UpstreamTooLargeError
from weir_proxy.exchange import begin_attempt, note_answer, note_end
from weir_proxy.gateway import Gateway
from weir_proxy.relay import Relay
from weir_proxy.upstream import UpstreamAnswer, UpstreamStream


async def answer_stream(gateway: Gateway, call: Call) -> None:
    """Relay server-sent events from the upstream to the client.

    Everything but the terminal event is passed on at once. The terminal event (or the end of the body, where
    there is none) is released when the call is recorded. When the client hangs up, the upstream is cancelled
    and the call is settled by what was received. Either way, plugins are then told what went out.
    """
    request = begin_attempt(call)
    began = time.perf_counter()
    relay: Relay | None = None
    try:
        with _cancelled_by_hang_up(call) as disarm:
            async with gateway.upstream.stream(request) as upstream:
                note_answer(call, upstream.status, upstream.headers)
                if _is_event_stream(upstream):
                    relay = Relay(gateway, call)
                    await relay.run(upstream, began)
                    disarm()
                    await relay.finish()
                    relay.tell()
                    return
                body = await _whole(upstream, gateway.max_response_bytes)
    except ClientGoneError:
        if relay is not None:
            relay.tell()
        raise
    finally:
        note_end(call, began)
    await finish_whole(gateway, call, UpstreamAnswer(upstream.status, upstream.headers, body))


async def _whole(upstream: UpstreamStream, limit: int) -> bytes:
    """The body of an answer that is no stream after all.

    Raises:
        UpstreamError: It breaks off, or is larger than ``limit`` bytes.
    """
    pieces: list[bytes] = []
    size = 0
    async for piece in upstream.read():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise UpstreamTooLargeError(limit)
    return b"".join(pieces)


def _is_event_stream(upstream: UpstreamStream) -> bool:
    """Whether the answer can be relayed event by event: a compressed one cannot."""
    headers = dict(upstream.headers)
    return (
        upstream.status < 300
        and headers.get("content-type", "").lower().startswith("text/event-stream")
        and headers.get("content-encoding", "identity") == "identity"
    )


@contextmanager
def _cancelled_by_hang_up(call: Call) -> Iterator[Callable[[], None]]:
    """Cancel what runs inside when the client hangs up, and say so with ``ClientGoneError``.

    Gives a function that ends this early: what comes after the record has to run to its end.
    """
    task = asyncio.current_task()
    assert task is not None
    cancelled = False

    def cancel() -> None:
        nonlocal cancelled
        cancelled = True
        task.cancel()

    call.client.on_client_gone(cancel)
    try:
        yield lambda: call.client.forget_client_gone(cancel)
    except asyncio.CancelledError:
        if cancelled and task.uncancel() == 0:
            raise ClientGoneError("the client hung up during its stream") from None
        raise
    finally:
        call.client.forget_client_gone(cancel)
