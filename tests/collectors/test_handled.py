"""The verdict: every combination of what two collectors can make of an event."""

from __future__ import annotations

import pytest

from weir_collectors.handled import Decision, must_store

HANDLED = Decision("a", handled=True)
PASSED = Decision("b")
FAILED = Decision("c", tries=3, error="the sink is away")
FAILED_CLAIMING_HANDLED = Decision("d", handled=True, error="half of it was written")


@pytest.mark.parametrize(
    ("decisions", "stored"),
    [
        ([], True),
        ([HANDLED], False),
        ([PASSED], True),
        ([FAILED], True),
        ([FAILED_CLAIMING_HANDLED], True),
        ([HANDLED, HANDLED], False),
        ([HANDLED, PASSED], False),
        ([PASSED, HANDLED], False),
        ([HANDLED, FAILED], False),
        ([FAILED, HANDLED], False),
        ([PASSED, PASSED], True),
        ([PASSED, FAILED], True),
        ([FAILED, PASSED], True),
        ([FAILED, FAILED], True),
        ([FAILED_CLAIMING_HANDLED, PASSED], True),
        ([FAILED_CLAIMING_HANDLED, HANDLED], False),
    ],
)
def test_an_event_is_stored_unless_one_success_handled_it(decisions: list[Decision], stored: bool) -> None:
    assert must_store(decisions) is stored
