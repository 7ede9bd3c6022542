from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.types import (
    ClauseContains,
    ClauseEquals,
    ClauseOr,
    ClauseStartsWith,
    ConditionalPrice,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from weir_core.catalogue import Catalogue
from weir_core.prices import PriceTable
from weir_core.rates import Band, Prices
from weir_core.usage import Usage

CATALOGUE = Catalogue.bundled()
VENDORS = ("openai", "anthropic")
MOMENTS = (datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 11, 1, 12, 30, tzinfo=UTC))


def microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def published_models() -> Iterator[tuple[Provider, ModelInfo]]:
    for provider in providers:
        if provider.id in VENDORS:
            for info in provider.models:
                yield provider, info


MODELS = list(published_models())
PRICED_BY_THE_TOKEN = [
    (provider, info) for provider, info in MODELS if info.get_prices(MOMENTS[0]).input_mtok is not None
]


def catalogue_of(*models: ModelInfo) -> Catalogue:
    return Catalogue([Provider(id="openai", name="OpenAI", api_pattern="", models=list(models))], "test")


def model(prices: ModelPrice | list[ConditionalPrice], match: MatchLogic | None = None) -> ModelInfo:
    return ModelInfo(id="m", match=match or ClauseEquals("m"), prices=prices)


def name_of(info: ModelInfo) -> str:
    """A name that finds this model and no other of its provider."""
    provider = next(provider for provider, other in MODELS if other is info)
    candidates = [info.id, *equal_names(info.match)]
    return next(name for name in candidates if provider.find_model(name) is info)


def equal_names(clause: MatchLogic) -> Iterator[str]:
    match clause:
        case ClauseEquals(equals):
            yield equals
        case ClauseStartsWith(starts_with):
            yield starts_with
        case ClauseOr(or_):
            for alternative in or_:
                yield from equal_names(alternative)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Counters that do not contradict each other, up to some millions: many past every threshold."""
    part = st.integers(min_value=0, max_value=400_000)
    read, write_5m, write_1h, audio, text = (draw(part) for _ in range(5))
    reasoning, audio_response, response_text = (draw(part) for _ in range(3))
    return Usage(
        prompt_tokens=read + write_5m + write_1h + audio + text,
        cache_read_tokens=read,
        cache_write_tokens=write_5m + write_1h,
        cache_write_1h_tokens=write_1h,
        audio_prompt_tokens=audio,
        response_tokens=reasoning + audio_response + response_text,
        reasoning_tokens=reasoning,
        audio_response_tokens=audio_response,
        web_searches=draw(st.integers(min_value=0, max_value=50)),
        file_searches=draw(st.integers(min_value=0, max_value=50)),
        service_tier=draw(st.sampled_from([None, "default", "standard", "flex", "priority", "fast"])),
    )


def theirs(usage: Usage) -> genai_prices.Usage:
    return genai_prices.Usage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        input_audio_tokens=usage.audio_prompt_tokens,
        # No vendor says how much of what it read from the cache was sound.
        cache_audio_read_tokens=0,
        output_tokens=usage.response_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
        output_audio_tokens=usage.audio_response_tokens,
        web_searches=usage.web_searches,
        storage_searches=usage.file_searches,
    )


@given(usages(), st.sampled_from(MOMENTS))
@settings(max_examples=25)
def test_every_published_model_costs_what_genai_prices_says(usage: Usage, moment: datetime) -> None:
    table = PriceTable(catalogue=CATALOGUE)
    tier = usage.service_tier
    context = {"service_tier": tier, "speed": tier} if tier is not None else None
    for provider, info in PRICED_BY_THE_TOKEN:
        rates = table.rates(provider.id, name_of(info), microseconds(moment))
        expected = info.calc_price(
            theirs(usage), provider, genai_request_timestamp=moment, price_context=context
        )

        assert rates is not None, info.id
        assert rates.cost(usage) == expected.total_price, info.id


def test_a_model_that_is_not_priced_by_the_token_has_no_sheet() -> None:
    unpriced = [item for item in MODELS if item not in PRICED_BY_THE_TOKEN]

    assert "whisper-1" in {info.id for _, info in unpriced}
    for provider, info in unpriced:
        assert CATALOGUE.sheet(provider.id, info.id, microseconds(MOMENTS[1])) is None


@pytest.mark.parametrize(("vendor", "name"), [("openai", "no-such-model"), ("no-such-vendor", "gpt-4o")])
def test_an_unknown_model_or_vendor_has_no_sheet(vendor: str, name: str) -> None:
    assert CATALOGUE.sheet(vendor, name, 0) is None


def test_a_compatible_server_is_priced_by_the_exact_name_only() -> None:
    named = ModelInfo(
        id="m",
        match=ClauseOr([ClauseEquals("M-2025"), ClauseStartsWith("m-"), ClauseContains("mm")]),
        prices=ModelPrice(input_mtok=Decimal(1)),
    )
    catalogue = catalogue_of(named)

    assert catalogue.sheet("openai", "m-other", 0) is not None
    assert catalogue.sheet("openai_compatible", "m", 0) is not None
    assert catalogue.sheet("openai_compatible", "m-2025", 0) is not None
    assert catalogue.sheet("openai_compatible", "m-other", 0) is None
    assert catalogue.sheet("openai_compatible", "mmm", 0) is None


def test_thresholds_of_different_prices_make_one_list_of_bands() -> None:
    listed = ModelPrice(
        input_mtok=TieredPrices(Decimal(1), [Tier(100, Decimal(2)), Tier(300, Decimal(4))]),
        output_mtok=TieredPrices(Decimal(10), [Tier(200, Decimal(20))]),
        cache_read_mtok=Decimal("0.5"),
    )

    sheet = catalogue_of(model(listed)).sheet("openai", "m", 0)

    assert sheet is not None
    half = Decimal("0.5")
    assert sheet.standard == (
        Band(0, Prices(input=Decimal(1), output=Decimal(10), cache_read=half)),
        Band(100, Prices(input=Decimal(2), output=Decimal(10), cache_read=half)),
        Band(200, Prices(input=Decimal(2), output=Decimal(20), cache_read=half)),
        Band(300, Prices(input=Decimal(4), output=Decimal(20), cache_read=half)),
    )


def test_a_dated_price_is_out_of_date_when_the_next_one_starts() -> None:
    start = date(2026, 7, 1)
    info = model(
        [
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(2))),
            ConditionalPrice(StartDateConstraint(start), prices=ModelPrice(input_mtok=Decimal(1))),
        ]
    )
    midnight = microseconds(datetime(2026, 7, 1, tzinfo=UTC))

    before = catalogue_of(info).sheet("openai", "m", midnight - 1)
    after = catalogue_of(info).sheet("openai", "m", midnight)

    assert before is not None
    assert (before.standard[0].prices.input, before.changes_at_us) == (2, midnight)
    assert after is not None
    assert (after.standard[0].prices.input, after.changes_at_us) == (1, None)


def test_a_price_by_the_hour_of_the_day_is_out_of_date_at_its_next_edge() -> None:
    east = timezone(timedelta(hours=8))
    night = TimeOfDateConstraint(time(0, 30, tzinfo=east), time(8, 30, tzinfo=east))
    info = model(
        [
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(2))),
            ConditionalPrice(night, prices=ModelPrice(input_mtok=Decimal(1))),
        ]
    )

    def at(hour: int, minute: int) -> tuple[Decimal, datetime]:
        moment = datetime(2026, 3, 10, hour, minute, tzinfo=UTC)
        sheet = catalogue_of(info).sheet("openai", "m", microseconds(moment))
        assert sheet is not None
        assert sheet.changes_at_us is not None
        return sheet.standard[0].prices.input, datetime.fromtimestamp(sheet.changes_at_us / 1e6, UTC)

    assert at(0, 29) == (Decimal(1), datetime(2026, 3, 10, 0, 30, tzinfo=UTC))
    assert at(0, 30) == (Decimal(2), datetime(2026, 3, 10, 16, 30, tzinfo=UTC))
    assert at(16, 30) == (Decimal(1), datetime(2026, 3, 11, 0, 30, tzinfo=UTC))


def test_a_class_of_service_overrides_only_the_prices_it_names() -> None:
    info = model(ModelPrice(input_mtok=Decimal(2), output_mtok=Decimal(8)))
    info.price_variants = [
        PriceVariant({"service_tier": "flex"}, ModelPrice(input_mtok=Decimal(1))),
        PriceVariant({"processing": "batch"}, ModelPrice(input_mtok=Decimal(0))),
        PriceVariant({"service_tier": "flex", "region": "eu"}, ModelPrice(input_mtok=Decimal(9))),
    ]

    sheet = catalogue_of(info).sheet("openai", "m", 0)

    assert sheet is not None
    assert dict(sheet.by_service_tier) == {"flex": (Band(0, Prices(input=Decimal(1), output=Decimal(8))),)}


def test_the_version_names_the_installed_data() -> None:
    assert CATALOGUE.version == f"genai-prices-{genai_prices.__version__}"
