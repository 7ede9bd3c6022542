"""The plugins that a call holds: all its hooks of one plugin go to the start of it that served the first."""

from __future__ import annotations

from weir_host.errors import PluginNotReadyError
from weir_host.host import PluginHost
from weir_host.instance import Calls
from weir_proxy.call import Call
from weir_proxy.configuration import HookPoint


def serving(host: PluginHost, call: Call, point: HookPoint) -> Calls:
    """What serves the call at this point; the call holds it from now on.

    Raises:
        PluginNotReadyError: This process does not host the plugin.
    """
    tenure = call.held.get(point.plugin_id)
    if tenure is not None and not tenure.over:
        return tenure.calls
    fresh = host.hold(point.plugin_id, point.config_override, point.stand_ins)
    if fresh is None:
        instance = host.get(point.plugin_id, point.config_override)
        if instance is None:
            raise PluginNotReadyError(f"plugin {point.plugin} is not ready")
        return instance
    if tenure is not None:
        tenure.release()
    call.held[point.plugin_id] = fresh
    return fresh.calls


def may_serve(host: PluginHost, call: Call, point: HookPoint, handler: str) -> bool:
    """Whether the plugin has this handler; one that cannot run now may have it."""
    tenure = call.held.get(point.plugin_id)
    serves = tenure.calls if tenure is not None else host.get(point.plugin_id, point.config_override)
    return serves is None or serves.implements(handler)


def release(call: Call) -> None:
    """Nothing will be asked for this call any more."""
    while call.held:
        call.held.popitem()[1].release()
