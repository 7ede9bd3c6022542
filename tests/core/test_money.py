from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_core.errors import InvalidInputError
from weir_core.money import NANO, nano_to_text, parse_amount, to_nano


@pytest.mark.parametrize(
    ("amount", "nano"),
    [
        ("0", 0),
        ("1", NANO),
        ("0.004375", 4_375_000),
        ("0.0000000005", 0),
        ("0.0000000015", 2),
        ("0.0000000025", 2),
        ("0.00000000250000000000000000000000000001", 3),
        ("-0.0000000015", -2),
        ("123456789012345678.123456789", 123456789012345678123456789),
    ],
)
def test_an_exact_amount_is_rounded_once_half_to_even(amount: str, nano: int) -> None:
    assert to_nano(Decimal(amount)) == nano


def test_rounding_does_not_obey_the_decimal_context_of_the_moment() -> None:
    with localcontext(prec=3):
        assert to_nano(Decimal("1.234567891")) == 1_234_567_891


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity", "1e200"])
def test_what_is_no_amount_of_money_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of money"):
        to_nano(Decimal(amount))


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (NANO, "1"),
        (10 * NANO, "10"),
        (2_500_000_000, "2.5"),
        (-2_500_000_000, "-2.5"),
    ],
)
def test_nano_units_are_written_as_a_plain_decimal(nano: int, text: str) -> None:
    assert nano_to_text(nano) == text


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_what_is_written_is_what_was_counted(nano: int) -> None:
    text = nano_to_text(nano)

    assert to_nano(Decimal(text)) == nano
    assert "e" not in text.lower()


@pytest.mark.parametrize("text", ["0", "2.50", "0.0375", "100000000000000000.000000000000000001"])
def test_a_plain_decimal_string_is_an_amount(text: str) -> None:
    assert str(parse_amount(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "+1", "-1", "1e3", ".5", "5.", "1,5", "1_000", "NaN", "Infinity", "$1", "\u0661", "1\n"],
)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is not an amount; write a plain decimal string") as caught:
        parse_amount(text)
    assert repr(text) in str(caught.value)
