"""``/model-prices``: an installation's own prices, on top of the catalogue's."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from sqlalchemy import RowMapping, select

from weir_control.api import not_supported as later
from weir_control.api.answers import Stored, answer, moment
from weir_control.api.envelopes import One, Page, PageQuery, page_of
from weir_control.api.fields import InputModel, Moment, PathId, VendorName, one_line
from weir_control.api.merge_patch import PatchBody, patched
from weir_control.api.validation import validate
from weir_control.deps import Caller, Control, no_content, stamp
from weir_control.errors import ConflictError, invalid
from weir_control.principal import API_PREFIX
from weir_control.store.kinds import MODEL_PRICE
from weir_control.store.namespaces import check_unbound
from weir_control.store.rows import add, fetch, fetch_page, put, remove
from weir_control.store.store import Change
from weir_control.store.tables import model_prices
from weir_core.clock import parse_rfc3339
from weir_core.errors import InvalidInputError
from weir_core.money import parse_amount

router = APIRouter(prefix="/model-prices", tags=["model-prices"])


def _amount(text: str) -> str:
    try:
        parse_amount(text)
    except InvalidInputError as error:
        raise ValueError(str(error)) from None
    return text


Price = Annotated[
    str,
    StringConstraints(max_length=40),
    AfterValidator(_amount),
    Field(
        description="Per million tokens, as a decimal string; null leaves it to the catalogue.",
        examples=["2.50"],
        json_schema_extra={"pattern": r"^[0-9]{1,18}(\.[0-9]{1,18})?$"},
    ),
]

_PRICES = ("input", "output", "cache_read", "cache_write", "reasoning")
_COLUMNS = ("vendor", "model", *_PRICES, "currency")


class ModelPriceInput(InputModel):
    """A price as an admin writes it. At least one of the five prices is given."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"vendor": "openai", "model": "gpt-4o*", "input": "2.50", "output": "10.00"}],
            "anyOf": [{"required": [name]} for name in _PRICES],
        }
    )

    vendor: VendorName
    model: Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(one_line)] = Field(
        description="A model's exact name, or a glob such as `gpt-4o*`; an exact name wins over a glob."
    )
    input: Price | None = None
    output: Price | None = None
    cache_read: Price | None = None
    cache_write: Price | None = None
    reasoning: Price | None = None
    currency: later.Currency = "USD"
    effective_from: Moment | None = Field(default=None, description="Null: always has been.")


class ModelPrice(Stored):
    """A price of this installation."""

    vendor: str = Field(examples=["openai"])
    model: str = Field(examples=["gpt-4o*"])
    input: str | None = Field(examples=["2.50"])
    output: str | None = Field(examples=["10.00"])
    cache_read: str | None
    cache_write: str | None
    reasoning: str | None
    currency: str = Field(examples=["USD"])
    effective_from: str | None


@router.get("", summary="List prices")
async def list_model_prices(control: Control, asked: PageQuery) -> Page[ModelPrice]:
    async with control.store.reading() as connection:
        rows, total = await fetch_page(connection, MODEL_PRICE, limit=asked.limit, offset=asked.offset)
    return page_of([_answer(row) for row in rows], total, asked)


@router.post("", status_code=201, summary="Create a price")
async def create_model_price(
    control: Control, caller: Caller, body: ModelPriceInput, response: Response
) -> One[ModelPrice]:
    """Counts for calls that are answered from now on; nothing that is recorded changes."""
    values = _values(body)
    check_unbound(caller, "Prices stand")
    async with control.store.changing(caller.actor) as change:
        await _refuse_double(change, values)
        price_id = await add(change, MODEL_PRICE, values)
        row = await fetch(change.connection, MODEL_PRICE, price_id)
    stamp(response, change.revision, f"{API_PREFIX}/model-prices/{price_id}")
    return One(data=_answer(row))


@router.get("/{price_id}", summary="Get a price")
async def get_model_price(control: Control, price_id: PathId) -> One[ModelPrice]:
    async with control.store.reading() as connection:
        return One(data=_answer(await fetch(connection, MODEL_PRICE, price_id)))


@router.put("/{price_id}", summary="Replace a price")
async def replace_model_price(
    control: Control, caller: Caller, price_id: PathId, body: ModelPriceInput, response: Response
) -> One[ModelPrice]:
    check_unbound(caller, "Prices stand")
    async with control.store.changing(caller.actor) as change:
        await fetch(change.connection, MODEL_PRICE, price_id)
        row = await _write(change, price_id, body)
    stamp(response, change.revision)
    return One(data=_answer(row))


@router.patch("/{price_id}", summary="Change a price")
async def change_model_price(
    control: Control, caller: Caller, price_id: PathId, body: PatchBody, response: Response
) -> One[ModelPrice]:
    """JSON Merge Patch: only what the body names is changed; a null price is the catalogue's again."""
    check_unbound(caller, "Prices stand")
    async with control.store.changing(caller.actor) as change:
        current = await fetch(change.connection, MODEL_PRICE, price_id)
        document = {name: current[name] for name in _COLUMNS}
        document["effective_from"] = moment(current["effective_from_us"])
        row = await _write(change, price_id, validate(ModelPriceInput, patched(document, body)))
    stamp(response, change.revision)
    return One(data=_answer(row))


@router.delete("/{price_id}", status_code=204, summary="Delete a price")
async def delete_model_price(control: Control, caller: Caller, price_id: PathId) -> Response:
    """The catalogue's price counts again."""
    check_unbound(caller, "Prices stand")
    async with control.store.changing(caller.actor) as change:
        await remove(change, MODEL_PRICE, price_id)
    return no_content(change.revision)


async def _write(change: Change, price_id: int, body: ModelPriceInput) -> RowMapping:
    values = _values(body)
    await _refuse_double(change, values, price_id)
    await put(change, MODEL_PRICE, price_id, values)
    return await fetch(change.connection, MODEL_PRICE, price_id)


async def _refuse_double(change: Change, values: dict[str, Any], own_id: int | None = None) -> None:
    """Two rows for one model from one moment would leave the price to chance."""
    same = [model_prices.c[name] == values[name] for name in ("vendor", "model")]
    # IS, because a plain comparison finds no NULL.
    same.append(model_prices.c.effective_from_us.is_not_distinct_from(values["effective_from_us"]))
    found = await change.connection.execute(select(model_prices.c.id).where(*same))
    taken_by = found.scalars().first()
    if taken_by is not None and taken_by != own_id:
        raise ConflictError(
            f"Model price {taken_by} stands for {values['vendor']} {values['model']!r} from the same time; "
            "change that one."
        )


def _values(body: ModelPriceInput) -> dict[str, Any]:
    if all(getattr(body, name) is None for name in _PRICES):
        raise invalid("input", f"give at least one of {', '.join(_PRICES)}", "required")
    moment_us = None if body.effective_from is None else parse_rfc3339(body.effective_from)
    return body.model_dump(include=set(_COLUMNS)) | {"effective_from_us": moment_us}


def _answer(row: RowMapping) -> ModelPrice:
    return answer(ModelPrice, row, effective_from=moment(row["effective_from_us"]))
