"""Fixtures of the event path's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from weir_streams.keeper import Keeper


@pytest.fixture
def no_keeper() -> Iterator[None]:
    """Spools without the thread beside them: the test itself says what happens when."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keeper, "start", lambda self: None)
        patch.setattr(Keeper, "stop", lambda self: None)
        yield
