"""What is called while a plugin cannot serve."""

from __future__ import annotations

from contextlib import nullcontext
from typing import NoReturn

from weir_core.objects import Plugin
from weir_host.errors import PluginNotReadyError
from weir_host.instance import State, Turn
from weir_sdk.capabilities import HANDLERS


class NotServing:
    """Refuses every call: a guard that is not there must never be a way in. ``Calls``."""

    def __init__(self, plugin: Plugin, state: State, reason: str) -> None:
        self._serves = {name for kind in plugin.hook_types for name in (kind, *HANDLERS.get(kind, ()))}
        self._message = f"plugin {plugin.name!r} is {state}" + (f": {reason}" if reason else "")

    def implements(self, hook: str, /) -> bool:
        return hook in self._serves

    def turn(self, _: str, /) -> Turn:
        return nullcontext()

    async def _refuse(self, *_: object) -> NoReturn:
        raise PluginNotReadyError(self._message)

    pre_auth = auth = post_auth = _refuse
    response_headers = response_body = _refuse
    stream_complete = proxy_log = analytics = budget_usage = batch = edge_payload = _refuse
