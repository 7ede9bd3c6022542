from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_core.money import to_nano
from weir_core.rates import Band, Prices, PriceSheet, Rates
from weir_core.usage import Usage

CHAT = Prices(
    input=Decimal("2.5"),
    output=Decimal(10),
    cache_read=Decimal("1.25"),
    cache_write=Decimal("3.125"),
    cache_write_1h=Decimal(5),
    reasoning=Decimal(20),
    audio_input=Decimal(40),
    audio_output=Decimal(80),
    web_search=Decimal(10_000),
    file_search=Decimal(2_500),
)


def cost(prices: Prices, **counters: int) -> Decimal:
    return Rates(PriceSheet(standard=(Band(0, prices),))).cost(Usage(**counters))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("counters", "expected"),
    [
        ({}, "0"),
        ({"prompt_tokens": 1_000_000}, "2.5"),
        ({"response_tokens": 1_000_000}, "10"),
        ({"prompt_tokens": 1_000_000, "cache_read_tokens": 1_000_000}, "1.25"),
        ({"prompt_tokens": 1_000_000, "cache_write_tokens": 1_000_000}, "3.125"),
        ({"prompt_tokens": 3, "cache_write_tokens": 2, "cache_write_1h_tokens": 1}, "0.000010625"),
        ({"response_tokens": 3, "reasoning_tokens": 1}, "0.00004"),
        ({"prompt_tokens": 2, "audio_prompt_tokens": 1}, "0.0000425"),
        ({"response_tokens": 2, "audio_response_tokens": 1}, "0.00009"),
        ({"web_searches": 1}, "0.01"),
        ({"file_searches": 4}, "0.01"),
    ],
)
def test_each_counter_is_charged_at_its_own_price(counters: dict[str, int], expected: str) -> None:
    assert cost(CHAT, **counters) == Decimal(expected)


def test_a_counter_without_a_price_is_charged_with_those_it_is_part_of() -> None:
    plain = Prices(input=Decimal(2), output=Decimal(6))

    whole = cost(plain, prompt_tokens=10, response_tokens=10)
    in_parts = cost(
        plain,
        prompt_tokens=10,
        cache_read_tokens=1,
        cache_write_tokens=2,
        cache_write_1h_tokens=1,
        audio_prompt_tokens=3,
        response_tokens=10,
        reasoning_tokens=4,
        audio_response_tokens=1,
    )

    assert in_parts == whole == Decimal("0.00008")


def test_searches_and_responses_without_a_price_are_free() -> None:
    assert cost(Prices(input=Decimal(1)), response_tokens=5, web_searches=2, file_searches=3) == 0


def test_counters_that_contradict_each_other_never_lower_the_price_of_others() -> None:
    assert cost(CHAT, prompt_tokens=1, cache_read_tokens=1_000_000) == Decimal("1.25")
    assert cost(CHAT, response_tokens=1, reasoning_tokens=1_000_000) == Decimal(20)


def test_a_long_prompt_puts_the_whole_call_into_the_next_band() -> None:
    long = Prices(input=Decimal(5), output=Decimal(15))
    rates = Rates(
        PriceSheet(standard=(Band(0, Prices(input=Decimal(3), output=Decimal(9))), Band(200, long)))
    )

    assert rates.cost(Usage(prompt_tokens=200, response_tokens=100)) == Decimal("0.0015")
    assert rates.cost(Usage(prompt_tokens=201, response_tokens=100)) == Decimal("0.002505")


def test_the_class_of_service_chooses_the_prices_and_an_unknown_one_is_standard() -> None:
    half = Prices(input=Decimal("0.5"))
    rates = Rates(
        PriceSheet(standard=(Band(0, Prices(input=Decimal(1))),), by_service_tier={"flex": (Band(0, half),)})
    )

    assert rates.cost(Usage(prompt_tokens=2, service_tier="flex")) == Decimal("0.000001")
    assert rates.cost(Usage(prompt_tokens=2, service_tier="scale")) == Decimal("0.000002")
    assert rates.cost(Usage(prompt_tokens=2)) == Decimal("0.000002")


def test_the_sum_is_exact_whatever_the_decimal_context_of_the_moment() -> None:
    prices = Prices(input=Decimal("0.123456789012345678"), output=Decimal("999999.999999999999999999"))
    with localcontext(prec=2):
        exact = cost(prices, prompt_tokens=999_999_999_999, response_tokens=999_999_999_999)

    with localcontext(prec=100):
        assert exact == 999_999_999_999 * (prices.input + Decimal("999999.999999999999999999")) / 1_000_000


def test_the_standard_prices_can_be_shown() -> None:
    assert Rates(PriceSheet(standard=(Band(0, CHAT), Band(9, Prices(input=Decimal(1)))))).prices is CHAT


@given(
    price=st.decimals("0.0000001", "1000", places=7),
    prompt=st.integers(0, 10_000_000),
    response=st.integers(0, 10_000_000),
)
def test_nano_units_are_the_exact_cost_rounded_once(price: Decimal, prompt: int, response: int) -> None:
    rates = Rates(PriceSheet(standard=(Band(0, Prices(input=price, output=price * 3)),)))
    usage = Usage(prompt_tokens=prompt, response_tokens=response)
    assert rates.nano(usage) == to_nano(rates.cost(usage))


@pytest.mark.parametrize(("tokens", "nano"), [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)])
def test_half_a_nano_unit_goes_to_the_even_side(tokens: int, nano: int) -> None:
    half_a_nano = Rates(PriceSheet(standard=(Band(0, Prices(input=Decimal("0.0005"))),)))
    assert half_a_nano.nano(Usage(prompt_tokens=tokens)) == nano
