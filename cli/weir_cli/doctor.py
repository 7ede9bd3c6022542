"""``weir doctor``: what is configured, what is reachable, what is wrong and how to mend it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from weir_cli.bootstrap import is_embedded
from weir_cli.configuration import load_settings, settings_file
from weir_cli.data_dir import DataDir
from weir_cli.doctor_events import examine_events, facts_of_counters
from weir_cli.doctor_findings import Finding, Level, Patient, is_ill
from weir_cli.doctor_kafka import KafkaGroupLag, examine_kafka
from weir_cli.doctor_machine import examine_clock, examine_data_dir, examine_processes, holders
from weir_cli.doctor_reach import examine_elasticsearch, examine_gateway, examine_upstreams
from weir_cli.doctor_refused import examine_refused
from weir_cli.doctor_roles import examine_kept_configuration, examine_link_to_control
from weir_cli.doctor_settings import Configured, configured
from weir_cli.doctor_spool import SpoolFacts, examine_spool, survey, unreadable
from weir_cli.doctor_store import Origins, examine_database, keyring_of
from weir_cli.doctor_streams import examine_streams
from weir_cli.options import Config, DataDirFlag
from weir_cli.printing import output
from weir_cli.spools import spool_settings, with_kafka
from weir_core.clock import SystemClock
from weir_streams.errors import SpoolFormatError

_LISTENING: Final = ("proxy-", "control")
_SIGNS: Final = {Level.OK: "green", Level.NOTE: "yellow", Level.WRONG: "red"}


class Diagnosis(msgspec.Struct, frozen=True):
    """All that ``--json`` prints. Times in seconds; ``spool`` is null where it could not be read."""

    settings: list[Configured]
    findings: list[Finding]
    spool: SpoolFacts | None
    kafka_groups: list[KafkaGroupLag]
    outage_hours: float | None


def doctor(
    upstreams: Annotated[
        bool, typer.Option("--upstreams", help="Also look up the upstreams' addresses.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Say what is configured, what is reachable, what is wrong and how to fix it; exit code 1 if anything is.

    It changes nothing and may be run at any time, whether or not the gateway runs.
    """
    flags: dict[str, object] = {"data_dir": data_dir}
    settings = load_settings(config, flags)
    chosen = configured(settings, settings_file(config), os.environ, flags)
    patient = Patient(settings, DataDir(settings.data_dir.absolute()), SystemClock())
    diagnosis = asyncio.run(diagnose(patient, chosen, upstreams=upstreams))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(diagnosis), indent=2).decode())
    else:
        _print(output(), diagnosis)
    if is_ill(diagnosis.findings):
        raise typer.Exit(1)


async def diagnose(patient: Patient, chosen: list[Configured], *, upstreams: bool) -> Diagnosis:
    """Look at everything. Blocks the loop while the spools are read."""
    running = await asyncio.to_thread(holders, patient.data_dir.root)
    findings = [*examine_data_dir(patient), *examine_processes(patient, running), *examine_clock(patient)]
    origins = Origins()
    findings += await examine_database(patient, origins)
    kafka, lags = await examine_kafka(patient)
    findings += kafka
    findings += await asyncio.to_thread(lambda: [*examine_refused(patient)])
    findings += await asyncio.to_thread(lambda: [*examine_streams(patient, running, lags)])
    findings += examine_kept_configuration(patient, keyring_of(patient))
    findings += await examine_link_to_control(patient.settings)
    if is_embedded(patient.settings) and running and patient.data_dir.metrics.is_dir():
        # Elsewhere all processes report into the database, those of other machines, too.
        findings += examine_events(await asyncio.to_thread(facts_of_counters, patient.data_dir.metrics))
    if any(holder.command.startswith(_LISTENING) for holder in running):
        findings += await examine_gateway(patient)
    if patient.settings.elasticsearch_url is not None:
        origins.elasticsearch["elasticsearch_url"] = patient.settings.elasticsearch_url
    findings += await examine_elasticsearch(origins.elasticsearch)
    if upstreams:
        findings += await examine_upstreams(origins.upstreams)
    spool, about = await asyncio.to_thread(_spool, patient)
    hours = None if spool is None or spool.headroom_s is None else spool.headroom_s / 3600
    return Diagnosis(chosen, [*findings, *about], spool, lags, hours)


def _spool(patient: Patient) -> tuple[SpoolFacts | None, list[Finding]]:
    options = spool_settings(patient.settings)
    try:
        facts = survey(
            patient.data_dir.root,
            required=options.required_groups,
            max_bytes=options.max_bytes,
            writers=patient.settings.workers,
            now_us=patient.clock.wall_us(),
        )
    except (OSError, SpoolFormatError) as error:
        return None, [unreadable(error)]
    return facts, list(examine_spool(patient, facts, with_kafka=with_kafka(patient.settings)))


def _print(console: Console, diagnosis: Diagnosis) -> None:
    settings = Table("setting", "value", "from", title="Settings that are not left at their default")
    for one in diagnosis.settings:
        settings.add_row(*map(Text, (one.name, one.value, one.source)))
    console.print(settings)
    for finding in diagnosis.findings:
        line = Text(f"{finding.level.value:<5} ", style=_SIGNS[finding.level])
        line.append(f"{finding.area}: {finding.what}", style="default")
        console.print(line, soft_wrap=True)
        if finding.fix:
            console.print(Text(f"      -> {finding.fix}"), soft_wrap=True)
    console.print(_summary(diagnosis.findings))


def _summary(findings: list[Finding]) -> str:
    counts: Mapping[Level, int] = {
        level: sum(finding.level is level for finding in findings) for level in Level
    }
    return f"{counts[Level.WRONG]} wrong, {counts[Level.NOTE]} to look at, {counts[Level.OK]} ok"
