"""The HTTP client towards upstreams, against real sockets that behave well or badly."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from weir_proxy.errors import UpstreamBrokenError, UpstreamTimeoutError, UpstreamUnreachableError
from weir_proxy.headers import header_lines
from weir_proxy.upstream import Upstream, UpstreamAnswer, UpstreamRequest

_LOOPBACK = ipaddress.ip_address("127.0.0.1")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Script:
    """A server that answers each request on a connection with the next of its replies, then hangs up.

    A reply of None means that it hangs up without one; ``heard`` holds the requests' heads and bodies.
    """

    def __init__(self, *replies: bytes | None, keep_open: bool = False) -> None:
        self.replies = list(replies)
        self.keep_open = keep_open
        self.heard: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while self.replies:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            self.heard.append(head + await reader.readexactly(_content_length(head)))
            reply = self.replies.pop(0)
            if reply is None:
                break
            writer.write(reply)
            await writer.drain()
        if self.keep_open:
            await reader.read()
        writer.close()


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


@asynccontextmanager
async def serving(peer: Peer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await peer(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
    finally:
        server.close()


@asynccontextmanager
async def client(
    *,
    proxies: dict[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    silence_s: float = 60,
    largest_answer: int = 1000,
) -> AsyncIterator[Upstream]:
    upstream = Upstream(
        proxies=proxies or {},
        tls=tls or ssl.create_default_context(),
        silence_s=silence_s,
        largest_answer=largest_answer,
    )
    try:
        yield upstream
    finally:
        await upstream.close()


def request(
    origin: str, *, method: str = "POST", body: bytes = b"{}", timeout_s: float = 20, **headers: str
) -> UpstreamRequest:
    return UpstreamRequest(method, f"{origin}/v1/x?y=1", header_lines(headers.items()), body, timeout_s)


async def ask(peer: Peer, **options: str) -> UpstreamAnswer:
    async with serving(peer) as origin, client() as upstream:
        return await upstream.send(request(origin, **options))


async def test_a_request_goes_out_as_it_was_composed() -> None:
    script = Script(OK)
    await ask(script, authorization="Bearer sk")
    head, _, body = script.heard[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/x?y=1 HTTP/1.1"
    assert lines[1].startswith(b"host: 127.0.0.1:")
    assert lines[2:] == [b"authorization: Bearer sk", b"content-length: 2"]
    assert body == b"{}"


async def test_a_whole_answer_has_its_status_its_headers_in_lower_case_and_its_body() -> None:
    reply = b"HTTP/1.1 201 Created\r\nX-A: 1\r\nx-a: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    answer = await ask(Script(reply))
    assert (answer.status, answer.body) == (201, b"abc")
    assert [item for item in answer.headers if item[0] == "x-a"] == [("x-a", "1"), ("x-a", "2")]


async def test_a_connection_is_used_again_for_the_next_request() -> None:
    script = Script(OK, OK, OK)
    async with serving(script) as origin, client() as upstream:
        for _ in range(3):
            assert (await upstream.send(request(origin))).body == b"ok"
    assert script.connections == 1


async def test_a_connection_that_the_peer_closes_is_not_used_again() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    script = Script(closing, OK)
    async with serving(script) as origin, client() as upstream:
        await upstream.send(request(origin))
        await upstream.send(request(origin))
    assert script.connections == 2


async def test_bytes_behind_an_answer_never_become_the_next_caller_s() -> None:
    script = Script(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", OK)
    async with serving(script) as origin, client() as upstream:
        assert (await upstream.send(request(origin))).body == b"ok"
        assert (await upstream.send(request(origin))).body == b"ok"
    assert script.connections == 2


async def test_an_interim_answer_is_passed_over() -> None:
    assert (await ask(Script(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK))).body == b"ok"


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    assert (await ask(Script(b"HTTP/1.1 200 OK\r\n\r\nto the end"))).body == b"to the end"


async def test_an_answer_to_head_has_no_body() -> None:
    script = Script(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", keep_open=True)
    answer = await ask(script, method="HEAD", body=b"")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + bytes(1001),
        b"HTTP/1.1 200 OK\r\n" + b"X-Filler: %b\r\n" % bytes(300_000),
        b"HTTP/1.1 200 OK\r\n" + b"X-Filler: yes\r\n" * 30_000,
    ],
    ids=[
        "no answer",
        "cut body",
        "cut chunks",
        "no http",
        "two framings",
        "upgrade",
        "status",
        "too large",
        "large header",
        "many headers",
    ],
)
async def test_an_answer_that_is_not_whole_and_sound_is_a_broken_upstream(reply: bytes | None) -> None:
    with pytest.raises(UpstreamBrokenError):
        await ask(Script(reply))


async def test_nothing_is_sent_to_an_upstream_that_cannot_be_reached() -> None:
    async with client() as upstream:
        with pytest.raises(UpstreamUnreachableError) as caught:
            await upstream.send(request("http://127.0.0.1:1"))
    assert not caught.value.reached


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://[::1", "http://a:b", "nothing"])
async def test_an_endpoint_that_is_no_url_is_unreachable(url: str) -> None:
    async with client() as upstream:
        with pytest.raises(UpstreamUnreachableError, match="api_endpoint"):
            await upstream.send(request(url))


async def test_an_upstream_that_takes_longer_than_the_timeout_has_failed() -> None:
    async with serving(Script(b"", keep_open=True)) as origin, client() as upstream:
        with pytest.raises(UpstreamTimeoutError, match="too long"):
            await upstream.send(request(origin, timeout_s=0.01))


async def test_an_upstream_that_falls_silent_has_failed() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"
    async with serving(Script(cut, keep_open=True)) as origin, client(silence_s=0.01) as upstream:
        with pytest.raises(UpstreamTimeoutError, match="sent nothing"):
            await upstream.send(request(origin))


async def test_a_stream_is_read_in_the_pieces_in_which_it_comes() -> None:
    go_on = asyncio.Event()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await go_on.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    async with serving(peer) as origin, client() as upstream, upstream.stream(request(origin)) as answer:
        assert answer.status == 200
        pieces = answer.read()
        assert await anext(pieces) == b"one"
        go_on.set()
        assert [piece async for piece in pieces] == [b"two"]


async def test_what_came_of_a_stream_before_it_broke_is_read_before_the_error() -> None:
    cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    seen = []
    async with (
        serving(Script(cut)) as origin,
        client() as upstream,
        upstream.stream(request(origin)) as answer,
    ):
        pieces = answer.read()
        seen.append(await anext(pieces))
        with pytest.raises(UpstreamBrokenError):
            await anext(pieces)
    assert seen == [b"one"]


async def test_leaving_a_stream_early_hangs_up() -> None:
    hung_up = asyncio.Event()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await reader.read()
        hung_up.set()

    async with serving(peer) as origin, client() as upstream:
        async with upstream.stream(request(origin)):
            pass
        async with asyncio.timeout(10):
            await hung_up.wait()


async def test_cancelling_a_call_hangs_up() -> None:
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        asked.set()
        await reader.read()
        hung_up.set()

    async with serving(peer) as origin, client() as upstream:
        call = asyncio.create_task(upstream.send(request(origin)))
        await asked.wait()
        call.cancel()
        async with asyncio.timeout(10):
            await hung_up.wait()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_stream_that_nobody_reads_holds_its_upstream_back() -> None:
    """The peer cannot write 64 MiB while nobody reads; when it is read, all of it arrives."""
    size = 64 * 1024 * 1024
    written = asyncio.Event()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(64):
            writer.write(bytes(size // 64))
            await writer.drain()
        written.set()
        await reader.read()

    async with (
        serving(peer) as origin,
        client(silence_s=0.01) as upstream,
        upstream.stream(request(origin)) as answer,
    ):
        pieces = answer.read()
        total = len(await anext(pieces))
        assert not written.is_set()
        async for piece in pieces:
            total += len(piece)
    assert total == size


async def test_an_answer_that_comes_before_the_request_is_out_costs_its_connection() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        while await reader.read(65536):
            pass

    async with serving(peer) as origin, client() as upstream:
        answer = await upstream.send(request(origin, body=bytes(64 * 1024 * 1024)))
        assert answer.status == 413


async def test_closing_ends_what_is_running() -> None:
    asked = asyncio.Event()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        asked.set()
        await reader.read()

    async with serving(peer) as origin, client() as upstream:
        call = asyncio.create_task(upstream.send(request(origin)))
        await asked.wait()
        await upstream.close()
        with pytest.raises(UpstreamBrokenError):
            await call


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that vouches for itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(_LOOPBACK)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def _server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_an_https_upstream_with_a_trusted_certificate_is_called(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with serving(Script(OK, OK), _server_tls(certificate)) as origin, client(tls=trusting) as upstream:
        assert (await upstream.send(request(origin))).body == b"ok"
        assert (await upstream.send(request(origin))).body == b"ok"


async def test_an_https_upstream_that_cannot_prove_itself_is_never_sent_anything(certificate: Path) -> None:
    script = Script(OK)
    async with serving(script, _server_tls(certificate)) as origin, client() as upstream:
        with pytest.raises(UpstreamUnreachableError, match="not trusted") as caught:
            await upstream.send(request(origin))
    assert not caught.value.reached
    assert script.heard == []


class ForwardProxy:
    """An HTTP proxy that tunnels, and notes what it was asked."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.asked: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        if not head.startswith(b"CONNECT "):
            writer.write(OK)
            return
        writer.write(b"HTTP/1.1 %d Said\r\n\r\n" % self.status)
        if self.status != 200:
            writer.close()
            return
        host, _, port = head.split(b" ")[1].decode().partition(":")
        theirs, ours = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_pump(reader, ours), _pump(theirs, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


async def test_an_https_upstream_is_reached_through_the_environment_s_proxy(certificate: Path) -> None:
    trusting, proxy = ssl.create_default_context(cafile=str(certificate)), ForwardProxy()
    async with (
        serving(Script(OK), _server_tls(certificate)) as origin,
        serving(proxy) as proxy_url,
        client(tls=trusting, proxies={"https": proxy_url.replace("://", "://me:p%40ss@")}) as upstream,
    ):
        assert (await upstream.send(request(origin, authorization="Bearer sk"))).body == b"ok"
    [asked] = proxy.asked
    assert b"proxy-authorization: Basic bWU6cEBzcw==\r\n" in asked
    assert b"Bearer" not in asked


async def test_a_proxy_that_refuses_makes_the_upstream_unreachable(certificate: Path) -> None:
    async with (
        serving(Script(OK), _server_tls(certificate)) as origin,
        serving(ForwardProxy(status=407)) as proxy_url,
        client(proxies={"https": proxy_url}) as upstream,
    ):
        with pytest.raises(UpstreamUnreachableError, match="407"):
            await upstream.send(request(origin))


async def test_a_plain_upstream_is_asked_of_the_proxy_by_its_whole_url() -> None:
    proxy = ForwardProxy()
    async with serving(proxy) as proxy_url, client(proxies={"all": proxy_url}) as upstream:
        assert (await upstream.send(request("http://models.internal:8000"))).body == b"ok"
    assert proxy.asked[0].startswith(
        b"POST http://models.internal:8000/v1/x?y=1 HTTP/1.1\r\nhost: models.internal:8000\r\n"
    )


async def test_an_upstream_that_the_environment_excepts_is_called_directly() -> None:
    proxy = ForwardProxy()
    async with (
        serving(proxy) as proxy_url,
        serving(Script(OK)) as origin,
        client(proxies={"no": "127.0.0.1", "all": proxy_url}) as upstream,
    ):
        assert (await upstream.send(request(origin))).body == b"ok"
    assert proxy.asked == []
