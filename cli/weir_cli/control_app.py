"""What ``weir control`` serves: the management API and its own metrics."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from weir_cli.role_health import answer_metrics, answer_not_found

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Scope]]
_Send = Callable[[_Scope], Awaitable[None]]

_ADMIN_ONLY: Final = ("/metrics", "/openapi.json", "/docs")


class ControlApp:
    """An ASGI application.

    Args:
        management: The management API, ``/health`` and ``/ready``.
        registry: What ``/metrics`` shows, where this is the only process that counts.
        is_public: Whether others than this machine reach the listener; metrics and the API's reference are
            on the admin listener then.
    """

    def __init__(self, management: Any, registry: CollectorRegistry, *, is_public: bool) -> None:
        self._management = management
        self._registry = registry
        self._is_public = is_public

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        if self._is_public and path.startswith(_ADMIN_ONLY):
            await answer_not_found(send, f"{path} is on the admin listener (admin_port)")
        elif path == "/metrics":
            await answer_metrics(send, self._all_processes())
        else:
            await self._management(scope, receive, send)

    def _all_processes(self) -> CollectorRegistry:
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return self._registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # untyped upstream
        return registry
