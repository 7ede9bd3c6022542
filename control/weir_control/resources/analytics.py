"""``/analytics``: what was consumed and what it cost, from the accountant's sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy import select

from weir_collectors.counters import total_lag
from weir_collectors.summaries import Group, GroupBy, read_summary
from weir_collectors.tables_accounting import rollups_hourly
from weir_collectors.tally import HOUR_US
from weir_control.api.envelopes import Page, PageParameters, page_of
from weir_control.api.fields import Moment
from weir_control.deps import Caller, Control, ControlDeps
from weir_control.principal import Principal
from weir_control.store.kinds import APP, LLM, Kind
from weir_control.store.namespaces import visible, visible_events
from weir_control.workers import Workers
from weir_core.clock import parse_rfc3339, rfc3339
from weir_core.money import nano_to_text

router = APIRouter(prefix="/analytics", tags=["analytics"])

_NAMES: Final = "|".join(GroupBy)
_HOURS: Final = range(-(2**31), 2**31 - 1)
_DAY_US: Final = 24 * HOUR_US
_TOKENS: Final = (
    *("prompt_tokens", "response_tokens", "cache_read_tokens"),
    *("cache_write_tokens", "reasoning_tokens", "total_tokens"),
)


def _all_different(text: str) -> str:
    names = text.split(",")
    if len(set(names)) != len(names):
        raise ValueError("must not name anything twice")
    return text


class SummaryParameters(PageParameters):
    """Which sums; a parameter that is not one of these is refused."""

    group_by: Annotated[str, AfterValidator(_all_different)] = Field(
        default="",
        pattern=f"^(?:(?:{_NAMES})(?:,(?:{_NAMES}))*)?$",
        description=f"One or more of {', '.join(GroupBy)}, with commas; without it, everything is one group.",
        examples=["app,day"],
    )
    from_: Moment | None = Field(
        default=None, alias="from", description="From this moment on; taken as the beginning of its hour."
    )
    to: Moment | None = Field(
        default=None, description="Up to this moment; taken as the end of its hour, unless it is a full hour."
    )

    @property
    def groups(self) -> list[GroupBy]:
        """The parts of ``group_by``."""
        return [GroupBy(name) for name in self.group_by.split(",") if name]

    @property
    def hours(self) -> range:
        """The hours since the Unix epoch that are asked for, whole ones."""
        first = _HOURS.start if self.from_ is None else parse_rfc3339(self.from_) // HOUR_US
        end = _HOURS.stop if self.to is None else -(-parse_rfc3339(self.to) // HOUR_US)
        return range(first, end)


class Outcomes(BaseModel):
    """Of the requests that failed, how many ended how."""

    blocked: int
    denied: int
    upstream_error: int
    client_aborted: int
    gateway_error: int


class UsageSources(BaseModel):
    """How many requests were counted by what."""

    provider: int = Field(description="By the provider's own counters.")
    estimated: int = Field(description="By the sizes of what was sent and received.")
    none: int = Field(description="Nothing was consumed.")


class SummaryGroup(BaseModel):
    """One group's sums. Of the first fields it has those that were asked for in `group_by`."""

    app_id: int | None = Field(default=None, description="Null for calls without an app.")
    app_name: str | None = Field(default=None, description="Null when the app is gone.")
    llm_id: int | None = None
    llm_name: str | None = Field(
        default=None, description="Null when the LLM is gone, or of another namespace."
    )
    model_name: str | None = Field(default=None, description="The model that answered.")
    vendor: str | None = None
    user_id: str | None = Field(default=None, description="Null where none is known, or it was erased.")
    hour: str | None = Field(default=None, description="Its first moment.")
    day: str | None = Field(default=None, description="In UTC.", examples=["2026-11-22"])
    requests: int = Field(description="Calls that were answered or attempted.")
    errors: int = Field(description="Those of them that were not served.")
    outcomes: Outcomes
    prompt_tokens: int
    response_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    total_tokens: int
    usage: UsageSources
    cost: str = Field(description="Exact decimal, of the requests whose price is known.", examples=["12.5"])
    currency: str
    unknown_prices: int = Field(description="Requests whose price is not known, and not in `cost`.")
    corrections: int = Field(description="Later corrections that are in these sums.")


class Summary(Page[SummaryGroup]):
    """One page of groups."""

    as_of: str | None = Field(
        description="Everything that was recorded up to this moment is in the sums; null before the first."
    )
    lag: int | None = Field(
        description="Events that are recorded and not yet in the sums; null while no accountant reports, "
        "and until those that do have counted them."
    )
    late: bool | None = Field(
        description="Whether `as_of` is so long ago that the log may soon lose what is not in the sums: half "
        "of its retention; null while no accountant reports."
    )
    last_error: str | None = Field(description="What an accountant waits for; null when all goes well.")
    from_: str | None = Field(
        alias="from", description="The first moment that the sums are about; null for all the past."
    )
    to: str | None = Field(description="The first moment that they are not; null when there is none.")


@router.get("/summary", summary="Sum up usage and cost", response_model_exclude_unset=True)
async def summarize(
    control: Control, caller: Caller, asked: Annotated[SummaryParameters, Query()]
) -> Summary:
    """What was consumed and what it cost, whether or not a collector took the events over.

    Groups of an hour or a day come in its order, otherwise the dearest first. The sums are kept by the hour,
    so `from` and `to` are widened to full hours, and the answer says to which.
    """
    hours = asked.hours
    found = await read_summary(
        control.store.engine,
        asked.groups,
        hours=hours,
        where=visible_events(caller, rollups_hourly),
        limit=asked.limit,
        offset=asked.offset,
    )
    app_names = await _names_of(control, caller, APP, _ids(found.groups, GroupBy.APP))
    llm_names = await _names_of(control, caller, LLM, _ids(found.groups, GroupBy.LLM))
    page = page_of([_shown(group, app_names, llm_names) for group in found.groups], found.total, asked)
    return Summary.model_validate(
        {
            "data": page.data,
            "pagination": page.pagination,
            "as_of": None if found.as_of_us is None else rfc3339(found.as_of_us),
            **_accountants(control.workers),
            "from": None if asked.from_ is None else rfc3339(hours.start * HOUR_US),
            "to": None if asked.to is None else rfc3339(hours.stop * HOUR_US),
        }
    )


def _accountants(workers: Workers) -> dict[str, Any]:
    """How the accountants that are alive say they are."""
    reports = [worker.report.accountant for worker in workers.all() if not worker.stale]
    known = [status for status in reports if status is not None]
    errors = [status.last_error for status in known if status.last_error is not None]
    return {
        "lag": total_lag(status.lag for status in known),
        "late": any(status.late for status in known) if known else None,
        "last_error": errors[0] if errors else None,
    }


def _ids(groups: Iterable[Group], key: GroupBy) -> set[int]:
    return {group.keys[key] for group in groups if key in group.keys}


async def _names_of(control: ControlDeps, caller: Principal, kind: Kind, ids: set[int]) -> Mapping[int, str]:
    if not ids:
        return {}
    columns = kind.table.c
    statement = select(columns.id, columns.name).where(columns.id.in_(ids), *visible(caller, kind))
    async with control.store.reading() as connection:
        rows = await connection.execute(statement)
        return {row.id: row.name for row in rows}


def _shown(group: Group, app_names: Mapping[int, str], llm_names: Mapping[int, str]) -> SummaryGroup:
    sums = group.sums
    return SummaryGroup(
        **_keys(group.keys, app_names, llm_names),
        requests=sums["requests"],
        errors=sums["errors"],
        outcomes=Outcomes(**_some(sums, Outcomes.model_fields)),
        **_some(sums, _TOKENS),
        usage=UsageSources(**{name: sums[f"usage_{name}"] for name in UsageSources.model_fields}),
        cost=nano_to_text(sums["cost_nano"]),
        currency=group.currency,
        unknown_prices=sums["unknown_prices"],
        corrections=sums["corrections"],
    )


def _some(sums: Mapping[str, int], names: Iterable[str]) -> dict[str, Any]:
    return {name: sums[name] for name in names}


def _keys(
    keys: Mapping[GroupBy, Any], app_names: Mapping[int, str], llm_names: Mapping[int, str]
) -> dict[str, Any]:
    """The fields of what was grouped by; 0 and the empty text are shown as null."""
    shown: dict[str, Any] = {}
    for key, value in keys.items():
        if key is GroupBy.APP:
            shown |= {"app_id": value or None, "app_name": app_names.get(value)}
        elif key is GroupBy.LLM:
            shown |= {"llm_id": value or None, "llm_name": llm_names.get(value)}
        elif key is GroupBy.HOUR:
            shown["hour"] = rfc3339(value * HOUR_US)
        elif key is GroupBy.DAY:
            shown["day"] = rfc3339(value * _DAY_US)[:10]
        else:
            shown[_FIELDS[key]] = value or None
    return shown


_FIELDS: Final[Mapping[GroupBy, str]] = {
    GroupBy.MODEL: "model_name",
    GroupBy.VENDOR: "vendor",
    GroupBy.USER: "user_id",
}
