"""What a test does where a real server cannot be had: it is skipped, or fails where that was asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from tests.support.servers.errors import ServerUnavailableError

REQUIRED: Final = "REQUIRE_SYSTEM_TESTS"
_MARK: Final = "no real server: "


@contextmanager
def server_needed(name: str) -> Iterator[None]:
    """Skip the test when ``name`` turns out not to be available; fail it when the environment asks for that."""
    try:
        yield
    except ServerUnavailableError as error:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{name} is required ({REQUIRED}=1): {error}", pytrace=False)
        pytest.skip(f"{_MARK}{name}: {error}")


def absences(reports: list[pytest.TestReport]) -> dict[str, set[str]]:
    """Why suites could not run, out of the run's skipped reports: reason to test files."""
    found: dict[str, set[str]] = {}
    for report in reports:
        if isinstance(report.longrepr, tuple) and _MARK in report.longrepr[2]:
            reason = report.longrepr[2].partition(_MARK)[2]
            found.setdefault(reason, set()).add(report.nodeid.partition("::")[0])
    return found
