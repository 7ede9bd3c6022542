"""What the supervisor tells a child: one line of JSON on the child's standard input."""

from __future__ import annotations

from typing import Any

import msgspec


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """It holds the encryption keys, so it goes nowhere else: neither arguments nor the environment.

    ``role`` is ``package.module:function``, a ``weir_cli.roles.context.Role``. ``settings`` have an absolute
    ``data_dir`` and no secrets.
    """

    name: str
    role: str
    supervisor_pid: int
    settings: dict[str, Any]
    encryption_keys: str
    lock_fd: int
    listen_fds: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """One line, without its end."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, line: bytes) -> Orders:
        """Read what ``encode`` wrote."""
        return msgspec.json.decode(line, type=Orders)
