"""``/collectors``: what became of events at each data_collection plugin, as its processes report."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, RowMapping, select

from weir_collectors.counters import total_lag
from weir_collectors.status import BreakerStatus, CollectorStatus
from weir_control.api.bodies import reason_for
from weir_control.api.envelopes import One, Page, PageQuery, slice_of
from weir_control.deps import Caller, Control, ControlDeps
from weir_control.errors import NotFoundError
from weir_control.plugins.hook_types import effective_hook_types
from weir_control.plugins.secrets import plugin_secrets
from weir_control.plugins.states import observed_state
from weir_control.principal import Principal
from weir_control.store.kinds import PLUGIN
from weir_control.store.namespaces import visible
from weir_core.blotting import blot_out

router = APIRouter(prefix="/collectors", tags=["collectors"])


class Breaker(BaseModel):
    """A sink that is away, for one kind of event."""

    kind: str = Field(examples=["proxy-log"])
    state: str = Field(examples=["open"])
    reason: str = Field(description="In the collector's own words for admins and auditors only.")
    paused: bool = Field(description="Whether the kind waits for the sink.")


class Collector(BaseModel):
    """A data_collection plugin at work. Counts are events since its process started."""

    plugin_id: int = Field(examples=[1])
    name: str = Field(description="The plugin's slug.", examples=["warehouse"])
    observer: bool
    state: str = Field(examples=["ready"])
    reason: str
    lag: int | None = Field(
        description="Events that wait for its group: its own, or the one all deciders share; null until all "
        "processes that have it have counted them, and while none has."
    )
    lag_seconds: float = Field(description="How old the oldest of them is that a process has in hand.")
    late: bool = Field(description="Whether that is past half of what the log keeps.")
    event_age_seconds: float | None = Field(
        description="From an event's timestamp to when it was handled or kept: of the last events of its "
        "groups, the longest; null before the first."
    )
    handled: int
    passed: int = Field(description="Taken, but not handled.")
    failed: int = Field(description="Given up on, each as a dead letter.")
    skipped: int = Field(description="Let past, in ranges of dead letters.")
    stored: int = Field(description="Of all these, those that went to the database.")
    redriven: int
    overruns: int = Field(description="How often an observer was moved to the end of the log.")
    last_error: str | None = Field(description="In its own words for admins and auditors only.")
    stuck: bool = Field(description="Whether its group has lag and has committed nothing for two minutes.")
    breakers: list[Breaker] = Field(description="Empty while its sink answers.")


@router.get("", summary="List collectors")
async def list_collectors(control: Control, caller: Caller, asked: PageQuery) -> Page[Collector]:
    """Every data_collection plugin, by its slug."""
    rows = await _rows(control, visible(caller, PLUGIN))
    return slice_of([_answer(control, caller, row) for row in rows], asked)


@router.get("/{name}", summary="Get a collector")
async def get_collector(control: Control, caller: Caller, name: str) -> One[Collector]:
    rows = await _rows(control, (*visible(caller, PLUGIN), PLUGIN.table.c.slug == name))
    if not rows:
        raise NotFoundError(f"There is no collector {name!r}.")
    return One(data=_answer(control, caller, rows[0]))


async def _rows(control: ControlDeps, only: Sequence[ColumnElement[bool]]) -> list[RowMapping]:
    wanted = select(PLUGIN.table).where(*only).order_by(PLUGIN.table.c.slug)
    async with control.store.reading() as connection:
        rows = (await connection.execute(wanted)).mappings().all()
    return [row for row in rows if "data_collection" in effective_hook_types(row)]


def _answer(control: ControlDeps, caller: Principal, row: RowMapping) -> Collector:
    observed = observed_state(row, control.workers)
    reports = [
        status
        for worker in control.workers.all()
        if not worker.stale and worker.report.collecting is not None
        for status in worker.report.collecting.collectors
        if status.plugin_id == row["id"]
    ]
    secrets = plugin_secrets(control.store.keyring, row)
    errors = [
        reason_for(caller, report.last_error, report.last_error_unquoted)
        for report in reports
        if report.last_error is not None
    ]
    return Collector(
        plugin_id=row["id"],
        name=row["slug"],
        observer=row["collector"].get("observer", False),
        state=observed.state,
        reason=blot_out(observed.reason, secrets),
        lag=total_lag(report.lag for report in reports),
        lag_seconds=max((report.lag_s for report in reports), default=0.0),
        late=any(report.late for report in reports),
        event_age_seconds=max((one.age_s for one in reports if one.age_s is not None), default=None),
        handled=_sum(reports, "handled"),
        passed=_sum(reports, "passed"),
        failed=_sum(reports, "failed"),
        skipped=_sum(reports, "skipped"),
        stored=_sum(reports, "stored"),
        redriven=_sum(reports, "redriven"),
        overruns=_sum(reports, "overruns"),
        last_error=blot_out(errors[-1], secrets) if errors else None,
        stuck=any(report.stuck for report in reports),
        breakers=[
            _breaker(
                breaker,
                blot_out(reason_for(caller, breaker.reason, breaker.reason_unquoted), secrets),
            )
            for report in reports
            for breaker in report.breakers
        ],
    )


def _sum(reports: Sequence[CollectorStatus], name: str) -> int:
    return sum(getattr(report, name) for report in reports)


def _breaker(breaker: BreakerStatus, reason: str) -> Breaker:
    return Breaker(kind=breaker.kind, state=breaker.state, reason=reason, paused=breaker.paused)
