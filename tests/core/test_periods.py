from weir_core.clock import parse_rfc3339
from weir_core.periods import Period, month_at


def test_a_month_begins_at_its_first_moment_and_ends_with_the_next() -> None:
    november = Period("2026-11", "2026-11-01T00:00:00.000000Z", "2026-12-01T00:00:00.000000Z")
    assert month_at(parse_rfc3339("2026-11-01T00:00:00Z")) == november
    assert month_at(parse_rfc3339("2026-11-30T23:59:59.999999Z")) == november


def test_december_is_followed_by_the_next_years_january() -> None:
    assert month_at(parse_rfc3339("2026-12-31T12:00:00Z")).end == "2027-01-01T00:00:00.000000Z"
