"""``/consumer-groups``: how far everybody is who reads events, as the processes report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fastapi import APIRouter
from pydantic import BaseModel, Field

from weir_collectors.accountant import AccountantStatus
from weir_collectors.counters import total_lag
from weir_collectors.kinds import ACCOUNTANT_GROUP
from weir_collectors.status import GroupStatus
from weir_control.api.envelopes import Page, PageQuery, slice_of
from weir_control.deps import Caller, Control
from weir_control.store.namespaces import check_unbound
from weir_control.workers import Report, Workers

router = APIRouter(prefix="/consumer-groups", tags=["consumer-groups"])


class ConsumerGroup(BaseModel):
    """A group over all processes that share it. Counts are events since these processes started."""

    name: str = Field(examples=["weir.deciding.analytics"])
    kind: str | None = Field(
        description="The kind of event; null for the accountant, which reads two.", examples=["analytics"]
    )
    processes: int = Field(description="How many take part.", examples=[1])
    lag: int | None = Field(
        description="Events that it has not committed; null until all its processes have counted them."
    )
    lag_seconds: float = Field(
        description="How old the oldest event is that a process has in hand; of the accountant, since when "
        "the sums may lack something."
    )
    late: bool = Field(description="Whether that is past half of what the log keeps.")
    stuck: bool = Field(description="Whether it has lag and has committed nothing for two minutes.")
    decided: int = Field(description="Events decided about, or added to the sums.")
    stored: int = Field(description="Of those, the ones that nobody handled.")
    undecodable: int
    restarts: int
    event_age_seconds: float | None = Field(
        description="From the timestamp of its last event to when that was kept; null before the first, and "
        "of the accountant."
    )


@router.get("", summary="List consumer groups")
async def list_consumer_groups(control: Control, caller: Caller, asked: PageQuery) -> Page[ConsumerGroup]:
    """Those that decide about events, those of observers, and the accountant.

    They are the installation's: not for tokens that are bound to namespaces.
    """
    check_unbound(caller, "Consumer groups stand")
    return slice_of(list(_groups(control.workers)), asked)


def _groups(workers: Workers) -> Iterator[ConsumerGroup]:
    reports = [worker.report for worker in workers.all() if not worker.stale]
    accountants = [report.accountant for report in reports if report.accountant is not None]
    if accountants:
        yield _accountant(accountants)
    by_name: dict[str, list[GroupStatus]] = {}
    for report in reports:
        for status in _statuses(report):
            by_name.setdefault(status.group, []).append(status)
    for _, statuses in sorted(by_name.items()):
        yield _group(statuses)


def _statuses(report: Report) -> Sequence[GroupStatus]:
    return () if report.collecting is None else (*report.collecting.kinds, *report.collecting.observers)


def _group(statuses: Sequence[GroupStatus]) -> ConsumerGroup:
    return ConsumerGroup(
        name=statuses[0].group,
        kind=statuses[0].kind,
        processes=len(statuses),
        lag=total_lag(status.lag for status in statuses),
        lag_seconds=max(status.lag_s for status in statuses),
        late=any(status.late for status in statuses),
        stuck=any(status.stuck for status in statuses),
        decided=sum(status.decided for status in statuses),
        stored=sum(status.stored for status in statuses),
        undecodable=sum(status.undecodable for status in statuses),
        restarts=sum(status.restarts for status in statuses),
        event_age_seconds=max((one.age_s for one in statuses if one.age_s is not None), default=None),
    )


def _accountant(statuses: Sequence[AccountantStatus]) -> ConsumerGroup:
    return ConsumerGroup(
        name=ACCOUNTANT_GROUP,
        kind=None,
        processes=len(statuses),
        lag=total_lag(status.lag for status in statuses),
        lag_seconds=max(status.lag_s for status in statuses),
        late=any(status.late for status in statuses),
        stuck=False,
        decided=sum(status.added for status in statuses),
        stored=0,
        undecodable=sum(status.undecodable for status in statuses),
        restarts=sum(status.restarts for status in statuses),
        event_age_seconds=None,
    )
