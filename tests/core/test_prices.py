from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices.types import ClauseStartsWith, ConditionalPrice, ModelInfo, Provider, StartDateConstraint
from genai_prices.types import ModelPrice as ListPrice

from weir_core.catalogue import Catalogue
from weir_core.errors import InvalidInputError
from weir_core.objects import ModelPrice
from weir_core.prices import PriceTable, Rates
from weir_core.usage import Usage

MIDNIGHT = datetime(2026, 7, 1, tzinfo=UTC)
MIDNIGHT_US = round(MIDNIGHT.timestamp() * 1_000_000)


class HeldClock:
    def __init__(self, wall_us: int = MIDNIGHT_US - 1) -> None:
        self.now_us = wall_us

    def wall_us(self) -> int:
        return self.now_us

    def monotonic(self) -> float:
        return 0.0


class CountingCatalogue(Catalogue):
    asked = 0

    def sheet(self, vendor: str, model: str, at_us: int) -> Any:
        self.asked += 1
        return super().sheet(vendor, model, at_us)


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def catalogue() -> CountingCatalogue:
    """One family of models, whose input gets cheaper at midnight."""
    listed = ListPrice(input_mtok=Decimal(2), output_mtok=Decimal(8), cache_read_mtok=Decimal(1))
    cheaper = ListPrice(input_mtok=Decimal(1), output_mtok=Decimal(8), cache_read_mtok=Decimal(1))
    info = ModelInfo(
        id="gpt",
        match=ClauseStartsWith("gpt"),
        prices=[
            ConditionalPrice(prices=listed),
            ConditionalPrice(StartDateConstraint(date(2026, 7, 1)), prices=cheaper),
        ],
    )
    return CountingCatalogue([Provider(id="openai", name="OpenAI", api_pattern="", models=[info])], "list-1")


def row(number: int, model: str, vendor: str = "openai", **fields: Any) -> ModelPrice:
    return ModelPrice(id=number, vendor=vendor, model=model, **fields)


def prices_of(rates: Rates | None) -> dict[str, Decimal]:
    assert rates is not None
    prices = rates.prices
    return {
        field: price for field in prices.__struct_fields__ if (price := getattr(prices, field)) is not None
    }


def test_without_rows_the_published_prices_stand(catalogue: Catalogue, clock: HeldClock) -> None:
    table = PriceTable(catalogue=catalogue, clock=clock)

    assert prices_of(table.rates("openai", "gpt-4")) == {"input": 2, "output": 8, "cache_read": 1}
    assert table.version == "list-1"
    assert table.currency == "USD"


def test_a_row_replaces_the_prices_it_gives_and_no_other(catalogue: Catalogue, clock: HeldClock) -> None:
    table = PriceTable([row(1, "gpt-4", output="5", reasoning="7")], catalogue=catalogue, clock=clock)

    assert prices_of(table.rates("openai", "gpt-4")) == {
        "input": 2,
        "output": 5,
        "cache_read": 1,
        "reasoning": 7,
    }


def test_a_row_for_writing_to_the_cache_covers_entries_of_every_lifetime(
    catalogue: Catalogue, clock: HeldClock
) -> None:
    table = PriceTable([row(1, "gpt-4", cache_write="3")], catalogue=catalogue, clock=clock)
    rates = table.rates("openai", "gpt-4")

    assert rates is not None
    assert rates.cost(Usage(prompt_tokens=2, cache_write_tokens=2, cache_write_1h_tokens=1)) == Decimal(
        "0.000006"
    )


def test_a_row_counts_whatever_the_length_of_the_prompt_and_the_class_of_service() -> None:
    at_us = round(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1_000_000)
    rates = PriceTable([row(1, "gpt-5.5", input="1")]).rates("openai", "gpt-5.5", at_us)
    listed = PriceTable().rates("openai", "gpt-5.5", at_us)
    long = Usage(prompt_tokens=1_000_000, service_tier="flex")

    assert rates is not None
    assert rates.cost(long) == 1
    assert listed is not None
    assert listed.cost(long) != 1


def test_an_exact_name_goes_before_a_pattern_and_a_long_pattern_before_a_short_one(
    catalogue: Catalogue, clock: HeldClock
) -> None:
    rows = [row(1, "*", input="10"), row(2, "gpt-4", input="30"), row(3, "gpt-*", input="20")]
    table = PriceTable(rows, catalogue=catalogue, clock=clock)

    assert prices_of(table.rates("openai", "gpt-4"))["input"] == 30
    assert prices_of(table.rates("openai", "gpt-3"))["input"] == 20
    assert prices_of(table.rates("openai", "o3"))["input"] == 10


def test_a_row_is_for_its_own_vendor(catalogue: Catalogue, clock: HeldClock) -> None:
    table = PriceTable([row(1, "gpt-4", vendor="anthropic", input="9")], catalogue=catalogue, clock=clock)

    assert prices_of(table.rates("openai", "gpt-4"))["input"] == 2
    assert prices_of(table.rates("anthropic", "gpt-4")) == {"input": 9}


def test_names_match_whatever_their_case(catalogue: Catalogue, clock: HeldClock) -> None:
    rows = [row(1, "Qwen/Qwen3", input="1"), row(2, "Llama*", input="2")]
    table = PriceTable(rows, catalogue=catalogue, clock=clock)

    assert prices_of(table.rates("openai", "qwen/qwen3"))["input"] == 1
    assert prices_of(table.rates("openai", "LLAMA-4"))["input"] == 2
    assert prices_of(table.rates("openai", "GPT-4"))["input"] == 2


def test_a_row_without_an_input_price_cannot_price_a_model_that_nobody_else_does(
    catalogue: Catalogue, clock: HeldClock
) -> None:
    table = PriceTable([row(1, "own", output="1")], catalogue=catalogue, clock=clock)

    assert table.rates("openai", "own") is None
    assert table.rates("openai", "unheard-of") is None


def test_a_row_takes_over_from_its_date_on(catalogue: Catalogue, clock: HeldClock) -> None:
    rows = [
        row(1, "o3", input="1"),
        row(2, "o3", input="2", effective_from_us=MIDNIGHT_US),
        row(3, "o3", input="3", effective_from_us=MIDNIGHT_US + 5),
    ]
    table = PriceTable(rows, catalogue=catalogue, clock=clock)

    before = prices_of(table.rates("openai", "o3"))
    clock.now_us = MIDNIGHT_US
    at_midnight = prices_of(table.rates("openai", "o3"))
    clock.now_us = MIDNIGHT_US + 5
    later = prices_of(table.rates("openai", "o3"))

    assert [before["input"], at_midnight["input"], later["input"]] == [1, 2, 3]


def test_an_exact_row_that_is_not_in_force_yet_leaves_a_pattern_in_force(
    catalogue: Catalogue, clock: HeldClock
) -> None:
    rows = [row(1, "o*", input="1"), row(2, "o3", input="2", effective_from_us=MIDNIGHT_US)]

    assert prices_of(PriceTable(rows, catalogue=catalogue, clock=clock).rates("openai", "o3"))["input"] == 1


def test_a_published_price_changes_on_its_date_though_it_was_compiled_before(
    catalogue: Catalogue, clock: HeldClock
) -> None:
    table = PriceTable([row(1, "gpt-4", output="5")], catalogue=catalogue, clock=clock)

    before = prices_of(table.rates("openai", "gpt-4"))
    clock.now_us = MIDNIGHT_US
    after = prices_of(table.rates("openai", "gpt-4"))

    assert (before["input"], after["input"]) == (2, 1)
    assert before["output"] == after["output"] == 5


def test_the_prices_of_another_moment_can_be_asked_for(catalogue: Catalogue, clock: HeldClock) -> None:
    clock.now_us = MIDNIGHT_US
    table = PriceTable(catalogue=catalogue, clock=clock)

    assert prices_of(table.rates("openai", "gpt-4"))["input"] == 1
    assert prices_of(table.rates("openai", "gpt-4", at_us=MIDNIGHT_US - 1))["input"] == 2
    assert prices_of(table.rates("openai", "gpt-4"))["input"] == 1


def test_a_model_is_compiled_once(catalogue: CountingCatalogue, clock: HeldClock) -> None:
    table = PriceTable(catalogue=catalogue, clock=clock)

    assert table.rates("openai", "gpt-4") is table.rates("openai", "gpt-4")
    assert table.rates("openai", "unheard-of") is table.rates("openai", "unheard-of") is None
    assert catalogue.asked == 2


def test_callers_cannot_fill_the_memory_with_invented_models(
    catalogue: CountingCatalogue, clock: HeldClock
) -> None:
    table = PriceTable(catalogue=catalogue, clock=clock)

    for number in range(5000):
        table.rates("openai", f"invented-{number}")
    asked = catalogue.asked
    table.rates("openai", "invented-0")

    assert catalogue.asked == asked + 1


@pytest.mark.parametrize("amount", ["-1", "1e3", "free", ""])
def test_a_row_with_an_amount_that_is_none_is_refused_by_field(amount: str) -> None:
    with pytest.raises(InvalidInputError, match="is not an amount") as caught:
        PriceTable([row(1, "gpt-4", cache_read=amount)])
    assert caught.value.field == "cache_read"


def test_a_row_in_another_currency_than_the_ledger_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="give it in USD") as caught:
        PriceTable([row(1, "gpt-4", input="1", currency="EUR")])
    assert caught.value.field == "currency"


def test_a_ledger_in_another_currency_knows_only_the_rows(catalogue: Catalogue) -> None:
    rows = [row(1, "gpt-4", input="1", currency="EUR")]
    table = PriceTable(rows, currency="EUR", catalogue=catalogue)

    assert prices_of(table.rates("openai", "gpt-4")) == {"input": 1}
    assert table.rates("openai", "gpt-3") is None


def test_the_version_changes_with_the_rows_and_not_with_their_order(catalogue: Catalogue) -> None:
    one, two, other = row(1, "a", input="1"), row(2, "b", input="1"), row(2, "b", input="2")

    version = PriceTable([one, two], catalogue=catalogue).version

    assert version.startswith("list-1+")
    assert version == PriceTable([two, one], catalogue=catalogue).version
    assert version != PriceTable([one, other], catalogue=catalogue).version
