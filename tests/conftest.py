"""What every test may ask for."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.servers.fixtures"]

# Neither a slow machine nor a busy one is a bug.
settings.register_profile("weir", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("weir")


_SHARE_OF_TIMEOUT = 0.9


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Let an async test end in its own loop a little before its timeout, at the line where it hangs.

    The timeout's signal does not get through to a test on uvloop, and leaves fixtures behind elsewhere.
    """
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.obj = _bounded(item.obj, _SHARE_OF_TIMEOUT * _timeout_s(item))


def _bounded(test: Callable[..., Awaitable[None]], within_s: float) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def bounded(*arguments: object, **fixtures: object) -> None:
        async with asyncio.timeout(within_s):
            await test(*arguments, **fixtures)

    return bounded


def _timeout_s(item: pytest.Item) -> float:
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0] if mark is not None else item.config.getini("timeout"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests found out beyond passing: their ``record_property``."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name}: {value}")
