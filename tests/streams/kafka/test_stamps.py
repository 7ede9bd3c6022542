"""Which time the relay gives its records after Kafka has refused one."""

from __future__ import annotations

import pytest
from tests.streams.support import STARTED_US, ManualClock

from weir_core.clock import rfc3339
from weir_streams.kafka.stamps import Stamp, Stamps

HEADERS = [("ce_time", rfc3339(STARTED_US - 5_000_000).encode())]


@pytest.mark.parametrize(
    ("stamp", "given_ms"),
    [(Stamp.OWN, STARTED_US // 1000 - 5000), (Stamp.NOW, STARTED_US // 1000), (Stamp.NONE, -1)],
)
def test_each_stamp_is_a_time_of_its_kind(stamp: Stamp, given_ms: int) -> None:
    assert Stamps(ManualClock()).milliseconds(stamp, HEADERS) == given_ms


def test_each_refusal_leads_to_the_next_and_the_last_is_final() -> None:
    stamps = Stamps(ManualClock())
    assert [(stamps.refused(stamp), stamps.current()) for stamp in Stamp] == [
        (True, Stamp.NOW),
        (True, Stamp.NONE),
        (False, Stamp.NONE),
    ]


def test_what_was_under_way_with_a_refused_time_takes_no_further_step() -> None:
    stamps = Stamps(ManualClock())
    for _ in range(3):
        stamps.refused(Stamp.OWN)
    assert stamps.current() is Stamp.NOW


def test_after_a_minute_the_events_own_times_are_tried_again() -> None:
    clock = ManualClock()
    stamps = Stamps(clock)
    stamps.refused(Stamp.OWN)
    clock.advance(59)
    assert stamps.current() is Stamp.NOW
    clock.advance(1)
    assert stamps.current() is Stamp.OWN
