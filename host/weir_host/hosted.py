"""One plugin's life in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from weir_core.blotting import blot_out
from weir_core.clock import Clock
from weir_core.objects import Plugin
from weir_host.errors import PluginStartError
from weir_host.forwarded import ForwardedCalls
from weir_host.instance import Calls, PluginState, RunningPlugin, State
from weir_host.limits import HostLimits
from weir_host.not_serving import NotServing
from weir_host.tenure import Tenure
from weir_sdk import Logger

Launch = Callable[[Plugin], RunningPlugin]
"""Makes, but does not start, the running form of a plugin."""

Sleep = Callable[[float], Awaitable[None]]


class HostedPlugin(ForwardedCalls):
    """A plugin as its admin wants it (``want``), and what became of the wish (``status``); an ``Instance``.

    ``live`` is its life; whoever creates the plugin runs it, once.
    """

    def __init__(
        self,
        plugin: Plugin,
        launch: Launch,
        *,
        limits: HostLimits,
        clock: Clock,
        sleep: Sleep,
        logger: Logger,
    ) -> None:
        self._plugin = plugin
        self._launch = launch
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._logger = logger
        self._wanted: Plugin | None = plugin
        self._changed = asyncio.Event()
        self._lost = asyncio.Event()
        self._settled = asyncio.Event()
        self._over = False
        self._running: RunningPlugin | None = None
        self._running_as: Plugin | None = None
        self._calls: Calls = NotServing(plugin, "starting", "")
        self._tenure: Tenure | None = None
        self._has_served = False
        self._closing = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._ready_at = 0.0
        self._restarts = 0
        self._status = PluginState(state="starting", since_us=clock.wall_us())

    async def live(self) -> None:
        """Start, serve, change, try again, linger, drain, stop: until nobody wants it any more."""
        failures = 0
        while not self._over:
            plugin = self._take_wish()
            try:
                if plugin is None:
                    await self._unless_changed(self._linger())
                else:
                    await self._unless_changed(self._bring_up(plugin, retrying=failures > 0))
                    await self._unless_changed(self._lost.wait())
                    failures = 0 if self._served_long() else failures + 1
                    if failures > 1:
                        await self._unless_changed(self._sleep(self._limits.retry_after(failures - 1)))
            except PluginStartError as error:
                failures += 1
                self._note_failure(error)
                await self._unless_changed(self._sleep(self._limits.retry_after(failures)))
            if self._changed.is_set():
                failures = 0
        self._retire()
        self._note("stopped", "nobody wants it any more")
        await asyncio.gather(*self._retiring)

    def want(self, plugin: Plugin | None) -> None:
        """Change the wish; None means that nobody wants the plugin any more."""
        if _encoded(plugin) == _encoded(self._wanted):
            return
        if self._wanted is None and plugin is not None:
            self._come_back(plugin)
        self._wanted = plugin
        self._settled.clear()
        self._changed.set()

    def finish(self) -> None:
        """Nobody wants it any more, and nobody needs it to linger."""
        self._wanted = None
        self._over = True
        self._closing.set()
        self._changed.set()

    async def settled(self) -> None:
        """Wait until the newest wish has come true or has failed for the first time."""
        await self._settled.wait()

    @property
    def over(self) -> bool:
        """Whether it is past being wanted again."""
        return self._over

    @property
    def status(self) -> PluginState:
        """What it is doing."""
        running = self._running
        return msgspec.structs.replace(
            self._status,
            state=self.state,
            reason=self.reason,
            abandoned=0 if running is None else running.abandoned,
            restarts=self._restarts,
        )

    @property
    def plugin_id(self) -> int:
        """The plugin's id."""
        return self._plugin.id

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self._plugin.name

    @property
    def state(self) -> State:
        """What it is doing, in one word."""
        return "degraded" if self._complaint else self._status.state

    @property
    def reason(self) -> str:
        """Why it is not ready."""
        return self._complaint or self._status.reason

    @property
    def restarts(self) -> int:
        """How often it was lost while it served, and started anew."""
        return self._restarts

    @property
    def has_served(self) -> bool:
        """Whether it has ever been ready."""
        return self._has_served

    def hold(self) -> Tenure | None:
        """Let a call keep what serves now until it releases it; None while nothing serves."""
        if self._tenure is not None:
            self._tenure.take()
        return self._tenure

    @property
    def _complaint(self) -> str:
        if self._running is None or self._status.state != "ready":
            return ""
        return self._running.complaint

    def _take_wish(self) -> Plugin | None:
        self._changed.clear()
        if self._wanted is not None:
            self._plugin = self._wanted
        return self._wanted

    async def _bring_up(self, plugin: Plugin, *, retrying: bool) -> None:
        """Make the plugin serve as it is wanted now; what served before goes on until then.

        Raises:
            PluginStartError: It cannot.
        """
        if self._running_as is None or _what_starts(self._running_as) != _what_starts(plugin):
            if self._running is None and not retrying:
                self._note("starting", "", settled=False)
            fresh = self._launch(plugin)
            try:
                async with asyncio.timeout(self._limits.start_s):
                    await fresh.start()
            except TimeoutError as error:
                raise PluginStartError(f"it was not ready after {self._limits.start_s:g} s") from error
            self._retire()
            self._running, self._running_as, self._calls = fresh, plugin, fresh.calls
            self._tenure, self._has_served = Tenure(fresh.calls), True
            self._lost.clear()
            self._ready_at = self._clock.monotonic()
            self._watching = asyncio.create_task(self._watch(fresh))
            self._logger.info("plugin ready", plugin=plugin.name)
        self._note("ready", "")

    async def _watch(self, running: RunningPlugin) -> None:
        """See at once that what serves is gone, whatever else is being done at that moment."""
        reason = blot_out(await running.wait_gone(), self._plugin.secrets)
        self._logger.warning("plugin lost", plugin=self._plugin.name, reason=reason)
        self._restarts += 1
        if self._tenure is not None:
            self._tenure.over = True
        self._retire()
        self._note("starting", f"{reason}; it is started anew")
        self._lost.set()

    def _served_long(self) -> bool:
        """Whether a loss now is a first one, after which it is started anew without a pause."""
        return self._clock.monotonic() - self._ready_at >= self._limits.stable_s

    def _come_back(self, plugin: Plugin) -> None:
        """What lingers for earlier requests serves no new ones, unless it is what is wanted now."""
        if self._running_as is not None and _what_starts(self._running_as) != _what_starts(plugin):
            self._retire()
            self._has_served = False
            self._note("starting", "", settled=False)

    async def _linger(self) -> None:
        """Requests that began when the plugin was wanted may still call it."""
        self._settled.set()
        await self._sleep(self._limits.linger_s)
        self._over = True

    def _retire(self) -> None:
        """Take what serves out of service; calls in flight end in their own time."""
        if self._running is None or self._tenure is None:
            return
        if self._watching is not None and self._watching is not asyncio.current_task():
            self._watching.cancel()
        stopping = asyncio.create_task(self._let_go(self._running, self._tenure))
        self._retiring.add(stopping)
        stopping.add_done_callback(self._retiring.discard)
        self._running = self._running_as = self._tenure = None

    async def _let_go(self, running: RunningPlugin, tenure: Tenure) -> None:
        """Stop what serves no new calls, once those that hold it have ended."""
        await tenure.end(self._closing, self._limits.linger_s)
        await running.stop()

    def _note_failure(self, error: PluginStartError) -> None:
        state: State = "failed" if self._running is None else "degraded"
        reason = blot_out(str(error), self._plugin.secrets)
        self._logger.warning("plugin cannot start", plugin=self._plugin.name, state=state, reason=reason)
        self._note(state, reason)

    def _note(self, state: State, reason: str, *, settled: bool = True) -> None:
        if (state, reason) != (self._status.state, self._status.reason):
            self._status = PluginState(state=state, reason=reason, since_us=self._clock.wall_us())
        if self._running is None:
            self._calls = NotServing(self._plugin, state, reason)
        if settled:
            self._settled.set()

    async def _unless_changed(self, work: Awaitable[object]) -> None:
        """Do this, but drop it when the wish changes."""
        working = asyncio.ensure_future(work)
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((working, changed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            working.cancel()
        await asyncio.wait((working,))
        if not working.cancelled():
            working.result()


def _what_starts(plugin: Plugin) -> bytes:
    """Everything that takes a new start when it changes."""
    return msgspec.json.encode(
        (
            plugin.command,
            plugin.checksum,
            plugin.config,
            plugin.hook_types,
            plugin.service_scopes,
            plugin.name,
            plugin.slug,
            plugin.generation,
        )
    )


def _encoded(plugin: Plugin | None) -> bytes:
    # Compared as bytes: to Python a config of {"limit": 1} equals one of {"limit": True}.
    return msgspec.json.encode(plugin)
