"""What a plugin's process says of itself before it is initialised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import grpc
from grpc import aio

from weir_host.child.stubs import plugin_extras
from weir_host.loading import require_handlers, served_hooks
from weir_proto.weir_plugin_pb2 import DescribeRequest, PluginDescription
from weir_sdk.capabilities import HANDLERS

_OURS_ALONE = frozenset({"handle_batch"})


@dataclass(frozen=True, slots=True)
class Description:
    """What a plugin has.

    Attributes:
        is_ours: It is made with our SDK, which says what it has; of others the admin's word is taken.
        class_name: For messages about it.
        handlers: Names of its handlers, with the number of calls that a threaded one takes at a time (0 for
            any number).
    """

    is_ours: bool
    class_name: str
    handlers: dict[str, int]

    def served(self, hook_types: Iterable[str]) -> frozenset[str]:
        """The names that ``Calls.implements`` knows, for these hook types.

        Raises:
            PluginStartError: It has no handler for one of them.
        """
        return served_hooks(require_handlers(self.class_name, self.handlers, hook_types))


async def describe(channel: aio.Channel, hook_types: Iterable[str]) -> Description:
    """Ask a plugin what it has.

    Args:
        channel: The channel to it.
        hook_types: What a plugin that cannot say is taken to have handlers for.

    Raises:
        grpc.aio.AioRpcError: It cannot be asked.
    """
    try:
        told: PluginDescription = await plugin_extras(channel).Describe(DescribeRequest())
    except aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.UNIMPLEMENTED:
            raise
        names = {name for kind in hook_types for name in HANDLERS.get(kind, ())}
        return Description(False, "it", dict.fromkeys(names - _OURS_ALONE, 0))
    handlers = {handler.name: handler.threads if handler.threaded else 0 for handler in told.handlers}
    return Description(True, told.class_name, handlers)
