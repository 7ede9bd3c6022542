"""One payload to the studio plugins: who is asked, in which order, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from weir_control.studio.inbox import Waiting
from weir_core.blotting import blot_out
from weir_core.clock import Clock
from weir_core.snapshot import Snapshot
from weir_host.errors import PluginError, PluginLostError, PluginNotReadyError
from weir_host.host import PluginHost
from weir_host.instance import Instance
from weir_host.invoke import call_with_deadline
from weir_sdk.payloads import EdgePayload as ShownPayload
from weir_streams.payloads import EdgePayload

HANDLER: Final = "accept_edge_payload"
_TIMEOUT_S: Final = 30.0
_PATIENCE_S: Final = 600.0
_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one try.

    Attributes:
        kind: ``handled`` is done with, also with an error; ``failed`` is to be tried again; ``declined`` by
            every plugin that was asked; ``nobody`` could be asked now.
        error: What went wrong, in the plugin's own words where it has any.
        unquoted: The same without them; None where it is all ours.
        handled_by: The plugin that handled it.
        metadata: What that plugin gave for the result.
    """

    kind: Literal["handled", "failed", "declined", "nobody"]
    error: str = ""
    handled_by: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    unquoted: str | None = None


class Delivery:
    """Asks studio plugins: the one with the sender's own id first, then the others by their ids.

    Only the one with the sender's own id holds a payload up while it is away or fails. Another is passed over
    for those that can be asked; when these decline, it is waited for, but no longer than ten minutes of one
    outage of its own.

    Args:
        host: Hosts them.
        snapshot: What is configured now.
        clock: Measures outages.
        timeout_s: For each call.
    """

    def __init__(
        self,
        host: PluginHost,
        snapshot: Callable[[], Snapshot],
        clock: Clock,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._host = host
        self._snapshot = snapshot
        self._clock = clock
        self._timeout_s = timeout_s
        self._away_since: dict[int, float] = {}

    async def attempt(self, waiting: Waiting, declined: set[int]) -> Verdict:
        """Try once.

        Args:
            waiting: The payload.
            declined: Plugins that have said that it is not theirs; those that say so now are added.
        """
        receivers = list(self._receivers(waiting.payload))
        if not receivers:
            return Verdict("nobody", "no studio plugin accepts payloads")
        passed_over: dict[int, Verdict] = {}
        for plugin in receivers:
            if plugin.plugin_id in declined:
                continue
            verdict = self._discreet(plugin, await self._ask(plugin, waiting))
            if verdict is None:
                declined.add(plugin.plugin_id)
            elif verdict.kind == "handled" or plugin.plugin_id == waiting.payload.plugin_id:
                return verdict
            else:
                passed_over[plugin.plugin_id] = verdict
        return self._of_the_rest(passed_over)

    def _discreet(self, instance: Instance, verdict: Verdict | None) -> Verdict | None:
        plugin = self._snapshot().plugins.get(instance.plugin_id)
        if verdict is None or plugin is None:
            return verdict
        return replace(verdict, error=blot_out(verdict.error, plugin.secrets))

    def _of_the_rest(self, passed_over: Mapping[int, Verdict]) -> Verdict:
        """What comes of a payload that all who have answered declined."""
        if not passed_over:
            return Verdict("declined", "every studio plugin that accepts payloads has declined it")
        for verdict in passed_over.values():
            if verdict.kind == "failed":
                return verdict
        now = self._clock.monotonic()
        for plugin_id, verdict in passed_over.items():
            if now - self._away_since.get(plugin_id, now) < _PATIENCE_S:
                return verdict
        reasons = "; ".join(verdict.error for verdict in passed_over.values())
        own = "; ".join(verdict.unquoted or verdict.error for verdict in passed_over.values())
        what = "no studio plugin that could be asked has taken it"
        return Verdict("declined", f"{what}; {reasons}", unquoted=f"{what}; {own}")

    async def _ask(self, plugin: Instance, waiting: Waiting) -> Verdict | None:
        """What one plugin says; None when it declines."""
        try:
            async with plugin.turn(HANDLER):
                loop = asyncio.get_running_loop()
                call = plugin.edge_payload(_shown(waiting))
                answer = await call_with_deadline(call, loop.time() + self._timeout_s, loop)
        except PluginLostError as error:
            # It may be this payload that it cannot bear, so that the tries have to end.
            return Verdict("failed", str(error), unquoted=error.unquoted)
        except PluginNotReadyError as error:
            self._away_since.setdefault(plugin.plugin_id, self._clock.monotonic())
            return Verdict("nobody", str(error), unquoted=error.unquoted)
        except PluginError as error:
            self._away_since.pop(plugin.plugin_id, None)
            return Verdict("failed", str(error), unquoted=error.unquoted)
        self._away_since.pop(plugin.plugin_id, None)
        if answer.handled:
            return Verdict("handled", answer.error_message, plugin.plugin_id, answer.metadata)
        if answer.error_message:
            who = f"plugin {plugin.name!r}"
            own = f"{who} reported a failure"
            return Verdict("failed", f"{who}: {answer.error_message}", unquoted=own)
        return None

    def _receivers(self, payload: EdgePayload) -> Iterator[Instance]:
        for plugin_id in self._in_order(payload):
            plugin = self._host.get(plugin_id)
            if plugin is not None and plugin.implements(HANDLER):
                yield plugin

    def _in_order(self, payload: EdgePayload) -> Iterable[int]:
        reachable = (
            plugin.id
            for plugin in self._snapshot().plugins.values()
            if plugin.is_active
            and "studio" in plugin.hook_types
            and plugin.namespace in ("", payload.edge_namespace)
        )
        return sorted(reachable, key=lambda plugin_id: (plugin_id != payload.plugin_id, plugin_id))


def _shown(waiting: Waiting) -> ShownPayload:
    payload = waiting.payload
    return ShownPayload(
        id=payload.event_id,
        payload=payload.content(),
        edge_id=payload.edge_id,
        edge_namespace=payload.edge_namespace,
        plugin_id=payload.plugin_id,
        correlation_id=payload.correlation_id,
        metadata=dict(payload.metadata),
        edge_timestamp=waiting.sent_at_us / _US,
        received_timestamp=waiting.received_at_us / _US,
    )
