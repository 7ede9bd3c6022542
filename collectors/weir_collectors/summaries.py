"""Reading the sums back, grouped as somebody wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from weir_collectors.book import signed_as_of
from weir_collectors.database import reading, translated
from weir_collectors.tables_accounting import SUMS, rollups_hourly

_COLUMNS: Final = rollups_hourly.c
_HOURS_A_DAY: Final = 24


class GroupBy(StrEnum):
    """What sums can be grouped by."""

    APP = "app"
    LLM = "llm"
    MODEL = "model"
    VENDOR = "vendor"
    USER = "user"
    HOUR = "hour"
    DAY = "day"


_EXPRESSIONS: Final[Mapping[GroupBy, ColumnElement[Any]]] = {
    GroupBy.APP: _COLUMNS.app_id,
    GroupBy.LLM: _COLUMNS.llm_id,
    GroupBy.MODEL: _COLUMNS.model,
    GroupBy.VENDOR: _COLUMNS.vendor,
    GroupBy.USER: _COLUMNS.user_id,
    GroupBy.HOUR: _COLUMNS.hour,
    GroupBy.DAY: _COLUMNS.hour // _HOURS_A_DAY,
}
_OF_TIME: Final = (GroupBy.HOUR, GroupBy.DAY)


@dataclass(frozen=True, slots=True)
class Group:
    """One group. ``keys`` are as the rollups have them: 0 and the empty text are none; days since 1970."""

    keys: Mapping[GroupBy, Any]
    currency: str
    sums: Mapping[str, int]
    """By the names of ``SUMS``; costs in nano-units."""


@dataclass(frozen=True, slots=True)
class SummaryPage:
    """Some groups of ``total``. All that was logged up to ``as_of_us`` is in; None before the first."""

    groups: tuple[Group, ...]
    total: int
    as_of_us: int | None


async def read_summary(
    engine: AsyncEngine,
    group_by: Sequence[GroupBy],
    *,
    hours: range,
    where: Sequence[ColumnElement[bool]] = (),
    limit: int,
    offset: int,
) -> SummaryPage:
    """Add up the rollups of some hours, in groups.

    Groups of a time come in its order, those of one time (or of none) by cost, largest first. Amounts in
    different currencies are never added: a group that has two comes twice.

    Args:
        engine: From ``create_engine``.
        group_by: No two the same; none makes one group of everything.
        hours: Since the Unix epoch, with step 1.
        where: Further conditions on ``rollups_hourly``.
        limit: Groups to return at most.
        offset: Groups to leave out before them.

    Raises:
        DatabaseUnavailableError: The database cannot be read now.
    """
    statement = _statement(group_by, hours, where)
    with translated("the sums cannot be read now; try again"):
        async with reading(engine) as connection:
            as_of_us = await signed_as_of(connection)
            total = (
                await connection.execute(select(func.count()).select_from(statement.subquery()))
            ).scalar_one()
            rows = (await connection.execute(statement.limit(limit).offset(offset))).all()
    return SummaryPage(tuple(_group(group_by, row) for row in rows), total, as_of_us)


def _statement(
    group_by: Sequence[GroupBy], hours: range, where: Sequence[ColumnElement[bool]]
) -> Select[Any]:
    keys = {key: _EXPRESSIONS[key].label(f"by_{key}") for key in group_by}
    sums = [func.sum(_COLUMNS[name]).label(name) for name in SUMS]
    by_time = [keys[key] for key in group_by if key in _OF_TIME]
    by_cost = next(column for column in sums if column.name == "cost_nano").desc()
    return (
        select(*keys.values(), _COLUMNS.currency, *sums)
        .where(_COLUMNS.hour >= hours.start, _COLUMNS.hour < hours.stop, *where)
        .group_by(*keys.values(), _COLUMNS.currency)
        .order_by(*by_time, by_cost, *keys.values(), _COLUMNS.currency)
    )


def _group(group_by: Sequence[GroupBy], row: Any) -> Group:
    values = list(row)
    keys = dict(zip(group_by, values, strict=False))
    # Postgres adds up into a decimal.
    sums = map(int, values[len(group_by) + 1 :])
    return Group(keys, values[len(group_by)], dict(zip(SUMS, sums, strict=True)))
