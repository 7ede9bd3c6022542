"""The sockets that the supervisor binds once and its children accept from.

It keeps them open, so that connections wait in their queues while a child is restarted.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self

from weir_cli.data_dir import DataDir
from weir_cli.errors import ListenError
from weir_cli.listener_tls import listener_tls
from weir_core.settings import Settings

_BACKLOG: Final = 2048


@dataclass(frozen=True, slots=True)
class Listeners:
    """The gateway's port, the management API's unix socket, and the one for the children's reports.

    ``admin`` is there where the settings have an ``admin_port``; ``speaks_tls`` is for it and ``gateway``.
    """

    gateway: socket.socket
    control: socket.socket
    internal: socket.socket
    admin: socket.socket | None
    speaks_tls: bool

    @classmethod
    def open(cls, settings: Settings, data_dir: DataDir) -> Self:
        """Listen on all of them.

        Raises:
            ListenError: A port cannot be listened on.
            SettingsError: The certificate cannot be used.
        """
        return cls(
            bind(settings.host, settings.port),
            bind_unix(data_dir.control_socket),
            bind_unix(data_dir.internal_socket),
            bind_admin(settings),
            listener_tls(settings) is not None,
        )

    @property
    def of_proxies(self) -> tuple[socket.socket, ...]:
        """What each proxy serves."""
        return (self.gateway,) if self.admin is None else (self.gateway, self.admin)

    @property
    def url(self) -> str:
        """Where calls are served."""
        return base_url(self.gateway, tls=self.speaks_tls)

    @property
    def admin_url(self) -> str | None:
        """Where metrics and the API's reference are; None where nobody may see them."""
        if self.admin is not None:
            return base_url(self.admin, tls=self.speaks_tls)
        return self.url if is_loopback(self.gateway) else None

    def close(self) -> None:
        """From here on, once the children have closed theirs, connections are refused."""
        for listener in (*self.of_proxies, self.control, self.internal):
            listener.close()


def bind_admin(settings: Settings) -> socket.socket | None:
    """Listen where metrics and the API's reference are, apart from the calls; None where that is not set.

    Raises:
        ListenError: See ``bind``.
    """
    if settings.admin_port is None:
        return None
    return bind(settings.admin_host, settings.admin_port, "choose another WEIR_ADMIN_PORT or WEIR_ADMIN_HOST")


def bind(
    host: str, port: int, advice: str = "choose another with --port (WEIR_PORT) or --host (WEIR_HOST)"
) -> socket.socket:
    """Listen on the first address of ``host``; ``advice`` ends the message of an error.

    Raises:
        ListenError: The host has no address, or the port is taken or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ListenError(f"cannot find an address for host {host!r}: {error.strerror}; {advice}") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(f"cannot listen on {_authority(host, port)}: {error.strerror}; {advice}") from error
    listener.setblocking(False)
    return listener


def bind_unix(path: Path) -> socket.socket:
    """Listen at a path that is free."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


def base_url(listener: socket.socket, *, tls: bool) -> str:
    """How a process of this machine reaches the socket."""
    return local_url(*listener.getsockname()[:2], tls=tls)


def local_url(host: str, port: int, *, tls: bool) -> str:
    """A wildcard address is reached over loopback."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"{'https' if tls else 'http'}://{_authority(local, port)}"


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine can reach the socket."""
    return ip_address(listener.getsockname()[0]).is_loopback


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
