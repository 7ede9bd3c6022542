"""The one word for what a plugin is doing, from a trial start and from all workers' reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weir_control.workers import PluginReport, Workers
from weir_host.instance import State


def observed_state(plugin: Mapping[Any, Any], workers: Workers) -> PluginReport:
    """The state of a plugin as the whole installation has it.

    Workers know better than the trial start, and any two that disagree are a ``degraded`` plugin, unless
    one is only on its way.
    """
    if not plugin["is_active"]:
        return PluginReport("stopped", "is_active is false")
    reports = workers.of_plugin(plugin["id"], plugin["revision"])
    if not reports:
        if plugin["probe_ok"]:
            return PluginReport("starting", "no worker has reported it yet")
        return PluginReport("failed", plugin["probe_reason"])
    return _combined(reports)


def _combined(reports: Mapping[str, PluginReport]) -> PluginReport:
    states = {report.state for report in reports.values()}
    if len(states) == 1:
        return PluginReport(states.pop(), _reasons(reports))
    state: State = "starting" if states == {"starting", "ready"} else "degraded"
    unwell = {worker: report for worker, report in reports.items() if report.state != "ready"}
    return PluginReport(state, _reasons(unwell))


def _reasons(reports: Mapping[str, PluginReport]) -> str:
    reasons = {report.reason for report in reports.values()}
    if len(reasons) == 1:
        return reasons.pop()
    return "; ".join(f"{worker}: {report.reason or report.state}" for worker, report in reports.items())
