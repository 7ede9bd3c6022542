"""What all servers of Weir's own have in common."""

from __future__ import annotations

from pathlib import Path

import weir_cli
from weir_cli.asgi import IDLE_S
from weir_proxy.protocol import ClientDeadlines
from weir_proxy.upstream import client

_ROOMS = Path(weir_cli.__file__).parents[2]


def test_every_server_keeps_an_idle_connection_longer_than_a_proxy_reuses_it() -> None:
    texts = {
        str(path.relative_to(_ROOMS)): path.read_text(encoding="utf-8")
        for room in ("cli", "control", "proxy", "collectors", "streams", "host")
        for path in (_ROOMS / room).rglob("*.py")
    }
    servers = {name for name, text in texts.items() if "uvicorn.Config(" in text}
    assert "cli/weir_cli/asgi.py" in servers
    assert {name for name in servers if "timeout_keep_alive=IDLE_S" not in texts[name]} == set()
    assert min(IDLE_S, ClientDeadlines().idle_s) > client._IDLE_S
