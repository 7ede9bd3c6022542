"""What collectors are shown has the names of what was written: one name for one thing."""

from __future__ import annotations

import pytest

import weir_sdk
from weir_streams import events


@pytest.mark.parametrize("kind", ["ProxyLog", "Analytics", "BudgetUsage"])
def test_the_sdks_messages_have_the_fields_of_the_events(kind: str) -> None:
    shown, written = getattr(weir_sdk, kind), getattr(events, kind)
    assert set(shown.__struct_fields__) == set(written.__struct_fields__)
