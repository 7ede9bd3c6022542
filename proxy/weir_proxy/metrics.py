"""What a proxy worker counts. Names are documented in docs/metrics.md."""

from __future__ import annotations

import asyncio

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from weir_core.blotting import blot_out
from weir_host.errors import PluginError
from weir_proxy.call import Call
from weir_proxy.configuration import HookPoint
from weir_proxy.tally import TalliedHistogram

_log = structlog.get_logger("weir.proxy")
_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_FLUSH_EVERY_S = 1.0


class Metrics:
    """Counters of one worker; prometheus-client adds them up across workers.

    Calls are counted within a second, and at once when this worker is asked for its metrics.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = TalliedHistogram(
            "weir_request_seconds",
            "Time from a call's headers to its record, by LLM and outcome.",
            ["llm", "outcome"],
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self._plugin_failures = Counter(
            "weir_plugin_failures_total", "Failed hook calls.", ["plugin", "reason"], registry=registry
        )
        self._unrecorded = Counter(
            "weir_unrecorded_refusals_total",
            "Refusals that leave no event, by reason.",
            ["reason"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "weir_requests_in_flight",
            "Calls admitted and not yet recorded.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._children: dict[tuple[str, str], TalliedHistogram] = {}
        self._flushing = False

    def recorded(self, call: Call, seconds: float) -> None:
        """One call became events."""
        key = (call.served.llm.slug, call.outcome)
        try:
            child = self._children.get(key)
            if child is None:
                child = self._children[key] = self._seconds.labels(*key)
            child.tally(seconds)
        except (OSError, ValueError) as error:
            # Its counters are files: a call that is recorded must not fail because one cannot be made.
            _log.warning("a call was not counted", error=str(error))
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_later(_FLUSH_EVERY_S, self.flush)

    def flush(self) -> None:
        """Count the calls that were recorded so far."""
        self._flushing = False
        for child in self._children.values():
            try:
                child.flush()
            except (OSError, ValueError) as error:
                _log.warning("calls were not counted", error=str(error))

    def refused_without_event(self, reason: str) -> None:
        """A refusal that the contract exempts from leaving events: ``spool_full`` or ``anonymous``."""
        self._unrecorded.labels(reason).inc()

    def in_flight(self, count: int) -> None:
        """How many slots of the in-flight table are taken now."""
        self._in_flight.set(count)

    def plugin_failed(self, call: Call, point: HookPoint, error: PluginError, *, again: bool = False) -> None:
        """A hook failed; its policy decides what that means for the call.

        A hook that fails ``again`` in the same stream is counted, but has been logged already. What the
        plugin says of it may quote what it was shown, so it is logged only where events keep bodies in full.
        """
        reason = type(error).__name__
        self._plugin_failures.labels(point.plugin, reason).inc()
        if again:
            return
        plugin = call.configuration.snapshot.plugins.get(point.plugin_id)
        _log.warning(
            "plugin call failed",
            plugin=point.plugin,
            policy="fail_closed" if point.fail_closed else "fail_open",
            reason=reason,
            error=blot_out(_told(call, error), () if plugin is None else plugin.secrets),
            request_id=call.request_id,
        )


def _told(call: Call, error: PluginError) -> str:
    capture, text = call.body_capture, str(error)
    if capture == "full" or text == error.unquoted:
        return text
    return f"{error.unquoted} (its words may quote a body, and body_capture is {capture})"
