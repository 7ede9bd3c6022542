"""Slow and oversized clients meet deadlines; quick ones never notice that there are any."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from weir_proxy.client import ClientRequest
from weir_proxy.errors import ClientTooSlowError
from weir_proxy.http_server import HttpServer
from weir_proxy.protocol import ClientDeadlines


class Recording:
    """An app that reads the whole body, says how that went, and answers its size."""

    def __init__(self) -> None:
        self.connections: list[ClientRequest] = []
        self.overdue = False
        self.entered = asyncio.Event()
        self.hung_up = asyncio.Event()
        self.wait_for_hang_up = False
        self.failure: Exception | None = None

    async def __call__(self, client: ClientRequest) -> None:
        self.connections.append(client)
        client.on_client_gone(self.hung_up.set)
        self.entered.set()
        size = 0
        try:
            while (piece := await client.read()) is not None:
                size += len(piece)
        except ClientTooSlowError:
            self.overdue = True
        if self.wait_for_hang_up:
            await self.hung_up.wait()
        seen = client.headers().get("x-number") or str(size)
        extra = (client.headers().get("x-answer") or "").replace("\t", "\r\n")
        try:
            await client.answer(200, [("x-extra", extra)], seen.encode())
        except ValueError as error:
            self.failure = error
            client.abort()


class Served:
    def __init__(self, app: Recording, port: int) -> None:
        self.app = app
        self.port = port

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    app = Recording()
    server = HttpServer(app, ClientDeadlines(headers_s=0.3, body_s=0.3), grace_s=5)
    stop, hurry = asyncio.Event(), asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        serving = asyncio.create_task(server.run(listener, stop=stop, hurry=hurry))
        yield Served(app, port)
        stop.set()
        await serving


async def test_a_client_that_says_nothing_is_told_so_and_cut_off(served: Served) -> None:
    async with served.connect() as (reader, _):
        assert (await reader.read()).startswith(b"HTTP/1.1 408 Request Timeout")
    assert not served.app.connections


async def test_headers_that_drip_in_forever_are_cut_off_at_the_deadline(served: Served) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x-a: b\r\n")
                await writer.drain()
                await asyncio.sleep(0.02)

    async with served.connect() as (reader, writer):
        dripping = asyncio.create_task(drip(writer))
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
        dripping.cancel()
    assert answer == b"HTTP/1.1 408 Request Timeout\r\n"
    assert not served.app.connections


async def test_a_header_block_over_the_limit_is_refused(served: Served) -> None:
    async with served.connect() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + b"x-a: " + b"b" * 80_000)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 431 ")


async def test_a_body_that_stalls_is_reported_to_the_app(served: Served) -> None:
    async with served.connect() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
    assert served.app.overdue


async def test_a_whole_request_arms_no_timer_and_keeps_its_connection(served: Served) -> None:
    async with served.connect() as (reader, writer):
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody")
            head = await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(1) == b"4"
            assert b"200" in head
    assert len({id(request._protocol) for request in served.app.connections}) == 1
    assert served.app.connections[0]._protocol._timer is None


async def test_a_request_in_two_pieces_is_served_and_its_timer_is_gone(served: Served) -> None:
    async with served.connect() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbo")
        await served.app.entered.wait()
        assert served.app.connections[0]._protocol._timer is not None
        writer.write(b"dy")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(1) == b"4"
    assert served.app.connections[0]._protocol._timer is None


async def test_a_hang_up_is_told_at_once(served: Served) -> None:
    served.app.wait_for_hang_up = True
    async with served.connect() as (_, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await served.app.entered.wait()
        assert not served.app.connections[0].client_gone
        writer.transport.abort()
        await asyncio.wait_for(served.app.hung_up.wait(), 5)
    assert served.app.connections[0].client_gone


@pytest.mark.parametrize(
    "request_line",
    [b"GARBAGE\r\n\r\n", b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n"],
)
async def test_what_is_no_http_is_a_400_without_a_trace_of_our_insides(
    served: Served, request_line: bytes
) -> None:
    async with served.connect() as (reader, writer):
        writer.write(request_line)
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Traceback" not in answer


async def test_pipelined_requests_each_keep_their_own_headers(served: Served) -> None:
    async with served.connect() as (reader, writer):
        writer.write(b"".join(b"GET / HTTP/1.1\r\nhost: a\r\nx-number: %d\r\n\r\n" % n for n in range(3)))
        for number in range(3):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(1) == b"%d" % number


async def test_a_client_that_wants_to_close_is_told_so_and_closed(served: Served) -> None:
    async with served.connect() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\n0")


async def test_an_answer_to_head_has_a_length_and_no_body(served: Served) -> None:
    async with served.connect() as (reader, writer):
        writer.write(b"HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
    assert b"content-length: 1\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_a_header_with_a_line_break_is_never_sent(served: Served) -> None:
    async with served.connect() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nx-answer: 1\tset-cookie: b\r\n\r\n")
        answer = await reader.read()
    assert b"set-cookie" not in answer
    assert isinstance(served.app.failure, ValueError)


@pytest.mark.parametrize("announced", [b"content-length: 4", b"transfer-encoding: chunked"])
async def test_a_body_behind_an_upgrade_is_never_taken_for_a_request(
    served: Served, announced: bytes
) -> None:
    async with served.connect() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n" + announced)
        writer.write(b"\r\n\r\nGET /inner HTTP/1.1\r\nhost: a\r\n\r\n")
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert not served.app.connections


async def test_an_upgrade_without_a_body_is_served_as_it_stands(served: Served) -> None:
    async with served.connect() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
