"""The installation's own prices."""

from __future__ import annotations

from typing import Any

import pytest
from tests.control.conftest import Api, World, refusal

PRICE = {"vendor": "openai", "model": "gpt-4o*", "input": "2.50", "output": "10"}


async def test_a_price_is_kept_as_it_was_written(world: World) -> None:
    answer = await world.admin("POST", "/model-prices", PRICE)
    created = answer.json()["data"]
    assert {key: created[key] for key in created if not key.endswith("_at")} == PRICE | {
        "id": 1,
        "cache_read": None,
        "cache_write": None,
        "reasoning": None,
        "currency": "USD",
        "effective_from": None,
    }
    [price] = (await world.published(answer)).model_prices
    assert (price.model, price.input, price.output, price.reasoning) == ("gpt-4o*", "2.50", "10", None)


@refusal
@pytest.mark.parametrize("amount", ["-1", "1e3", "NaN", "", "1,5", " 1", "1.", "0x1", "1" * 19, 2.5, 0])
async def test_an_amount_that_is_no_plain_decimal_is_422(refusing: Api, amount: Any) -> None:
    assert list(await refusing.errors("POST", "/model-prices", PRICE | {"input": amount})) == ["input"]


@refusal
async def test_a_row_without_any_price_is_422(refusing: Api) -> None:
    errors = await refusing.errors("POST", "/model-prices", {"vendor": "openai", "model": "gpt-4o"})
    assert errors == {"input": "required"}


@refusal
async def test_an_unknown_vendor_is_422(refusing: Api) -> None:
    errors = await refusing.errors("POST", "/model-prices", PRICE | {"vendor": "acme"})
    assert errors == {"vendor": "unknown_vendor"}


@pytest.mark.parametrize("moment", [None, "2026-09-01T00:00:00Z"])
async def test_two_prices_for_one_model_from_one_moment_are_409(admin: Api, moment: str | None) -> None:
    first = await admin.data("POST", "/model-prices", PRICE | {"effective_from": moment})
    problem = await admin.problem(409, "POST", "/model-prices", PRICE | {"effective_from": moment})
    assert f"Model price {first['id']} " in problem["detail"]
    other = await admin.data("POST", "/model-prices", PRICE | {"effective_from": "2027-01-01T00:00:00Z"})
    await admin.problem(409, "PATCH", f"/model-prices/{other['id']}", {"effective_from": moment})


async def test_patch_and_put(admin: Api) -> None:
    made = await admin.data("POST", "/model-prices", PRICE | {"effective_from": "2026-09-01T00:00:00Z"})
    path = f"/model-prices/{made['id']}"
    patched = await admin.data("PATCH", path, {"output": None, "reasoning": "12"})
    assert (patched["input"], patched["output"], patched["reasoning"]) == ("2.50", None, "12")
    assert patched["effective_from"] == "2026-09-01T00:00:00.000000Z"
    replaced = await admin.data("PUT", path, PRICE)
    assert (replaced["reasoning"], replaced["effective_from"]) == (None, None)


async def test_deleting_a_price_leaves_the_catalogues(world: World) -> None:
    made = await world.admin.data("POST", "/model-prices", PRICE)
    answer = await world.admin("DELETE", f"/model-prices/{made['id']}")
    assert (await world.published(answer)).model_prices == ()
