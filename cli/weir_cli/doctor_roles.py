"""Roles on machines of their own as ``weir doctor`` sees them: what they report, who leads, what is kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2
import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.typing import FilteringBoundLogger

from weir_cli.doctor_events import examine_events, facts_of_reports
from weir_cli.doctor_findings import Finding, Patient, in_time, note, ok, wrong
from weir_cli.roles.edge import REPORTS_PATH
from weir_control.resources.edge_reports import Reports
from weir_control.store.leadership import Leading, leading_now
from weir_control.store.reports import Seen, reports_in
from weir_control.store.store import newest_revision
from weir_control.workers import STALE_AFTER_S
from weir_core.secrets import KeyRing
from weir_core.settings import Settings
from weir_streams.config_feed import FileConfigFeed

AREA: Final = "roles"
_TIMEOUT_S: Final = 5.0
# A relay has no configuration.
_WITHOUT_REVISION: Final = ("relay",)


async def examine_roles(settings: Settings, connection: AsyncConnection) -> list[Finding]:
    """Who has reported into a shared Postgres within the hour, with what, and who leads.

    Raises:
        SQLAlchemyError, OSError: The database does not answer.
    """
    newest = await newest_revision(connection)
    reports = sorted(await reports_in(connection), key=_place)
    findings = [_report(seen, newest) for seen in reports]
    if not findings:
        findings = [note(AREA, "no process has reported within an hour", "start them; see docs/roles.md")]
    if settings.kafka.bootstrap_servers is not None:
        findings.append(_leader(await leading_now(connection), newest))
    live = [seen.report.collecting for seen in reports if seen.age_s < STALE_AFTER_S]
    counted = facts_of_reports(status for status in live if status is not None)
    return [*findings, *examine_events(counted)]


def examine_kept_configuration(patient: Patient, keyring: KeyRing | None) -> Iterator[Finding]:
    """The revisions that roles of this data directory start with while control and Kafka are away. Blocks."""
    directory = patient.data_dir.config
    for place in (directory, *sorted(path for path in directory.glob("*") if path.is_dir())):
        files = sorted(place.glob("*.snapshot"))
        if files and keyring is not None:
            yield _kept(place, files, keyring, patient)


async def examine_link_to_control(settings: Settings) -> list[Finding]:
    """Whether control takes reports from here, where they are sent; an empty one is."""
    if settings.control_url is None or settings.edge_token is None:
        return []
    headers = {"Authorization": f"Bearer {settings.edge_token.get_secret_value()}"}
    url = settings.control_url.rstrip("/") + REPORTS_PATH
    fix = "see WEIR_CONTROL_URL and WEIR_EDGE_TOKEN; calls are served without control"
    try:
        async with httpx2.AsyncClient(timeout=_TIMEOUT_S, headers=headers) as client:
            answer = await client.post(url, content=msgspec.json.encode(Reports(())))
    except httpx2.HTTPError as error:
        return [wrong("control", f"does not answer at {url}: {error or type(error).__name__}", fix)]
    if answer.is_success:
        return [ok("control", f"takes reports at {url}")]
    return [wrong("control", f"refuses reports at {url}: {answer.status_code} {answer.text[:300]}", fix)]


def _place(seen: Seen) -> tuple[str, str, str]:
    return seen.report.role, seen.report.edge, seen.report.worker


def _report(seen: Seen, newest: int) -> Finding:
    report = seen.report
    where = f" of {report.edge}" if report.edge else ""
    line = f"{report.role} {report.worker}{where} reported {in_time(seen.age_s)} ago"
    behind = report.role not in _WITHOUT_REVISION and report.revision < newest
    if report.role not in _WITHOUT_REVISION:
        line += f", revision {report.revision}" + (f" of {newest}" if behind else "")
    if seen.age_s >= STALE_AFTER_S:
        return note(AREA, line, "see its log, if it should run; one that is gone is forgotten after an hour")
    if behind:
        return note(AREA, line, "it should follow within a second; see its log, and that of the leader")
    return ok(AREA, line)


def _leader(leading: Leading, newest: int) -> Finding:
    line = f"{leading.leader or 'nobody'} leads, epoch {leading.epoch}, revision {leading.revision} published"
    if not leading.is_led:
        since = f"; {leading.leader} did last, epoch {leading.epoch}" if leading.leader else ""
        return wrong(AREA, f"no control process leads{since}", "start weir control; nothing is published")
    if leading.revision < newest:
        return note(AREA, f"{line} of {newest}", "see the leader's log: Kafka may be away")
    return ok(AREA, line)


def _kept(place: Path, files: list[Path], keyring: KeyRing, patient: Patient) -> Finding:
    area = "configuration"
    feed = FileConfigFeed(place, keyring, _silent())
    kept = feed.current(patient.settings.edge_namespace)
    if kept is None:
        fix = "give the keys that sealed it (WEIR_ENCRYPTION_KEYS); it comes anew from control when it can"
        return wrong(area, feed.reason or f"{place} has none of this namespace", fix)
    newest_s = max(path.stat().st_mtime for path in files)
    age = in_time(max(0.0, patient.clock.wall_us() / 1_000_000 - newest_s))
    return ok(area, f"revision {kept.revision} is kept in {place}, received {age} ago")


def _silent() -> FilteringBoundLogger:
    """What is wrong is a finding; a line in the log would stand in the midst of them."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )
    return logger
