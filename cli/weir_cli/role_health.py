"""``/health``, ``/ready`` and ``/metrics`` of a role that serves nothing else."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from weir_cli.asgi import serve_until

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Scope]]
_Send = Callable[[_Scope], Awaitable[None]]


class HealthApp:
    """An ASGI application.

    Args:
        reasons: Why the role is not ready; empty when it is.
        registry: What ``/metrics`` shows.
        illness: Why only a new process can help; empty while this one is well.
    """

    def __init__(
        self,
        reasons: Callable[[], Sequence[str]],
        registry: CollectorRegistry,
        illness: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._reasons = reasons
        self._registry = registry
        self._illness = illness

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        path = scope["path"]
        if path == "/metrics":
            await answer_metrics(send, self._registry)
        elif path == "/health":
            illness = list(self._illness())
            if illness:
                await _answer_json(send, 503, {"status": "ill", "reasons": illness})
            else:
                await _answer_json(send, 200, {"status": "ok"})
        elif path == "/ready":
            reasons = list(self._reasons())
            status = "not ready" if reasons else "ready"
            await _answer_json(send, 503 if reasons else 200, {"status": status, "reasons": reasons})
        else:
            await answer_not_found(send, "there are /health, /ready and /metrics here")


async def serve_health(
    app: HealthApp, listener: socket.socket, stop: asyncio.Event, tls: ssl.SSLContext | None = None
) -> None:
    """Serve until ``stop`` is set."""
    await serve_until(stop, {listener: app}, tls)


async def answer_metrics(send: _Send, registry: CollectorRegistry) -> None:
    """Prometheus' text."""
    await _answer(send, 200, CONTENT_TYPE_LATEST, generate_latest(registry))


async def answer_not_found(send: _Send, detail: str) -> None:
    """404, and what is there instead."""
    await _answer_json(send, 404, {"status": "not found", "detail": detail})


async def _answer_json(send: _Send, status: int, content: dict[str, Any]) -> None:
    await _answer(send, status, "application/json", msgspec.json.encode(content))


async def _answer(send: _Send, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
