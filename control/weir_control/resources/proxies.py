"""``/proxies``: the processes that serve calls, and how far each has come with the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.api.envelopes import Page, PageQuery, slice_of
from weir_control.deps import Caller, Control
from weir_control.plugins.secrets import plugin_secrets
from weir_control.principal import Principal
from weir_control.store.kinds import PLUGIN
from weir_control.store.namespaces import visible
from weir_control.store.store import newest_revision
from weir_control.store.tables import plugins as plugins_table
from weir_control.workers import Worker
from weir_core.blotting import blot_out
from weir_core.clock import rfc3339
from weir_core.secrets import KeyRing
from weir_streams.backlog import SpoolStatus

router = APIRouter(prefix="/proxies", tags=["proxies"])


class ProxyPlugin(BaseModel):
    """A plugin in one process."""

    plugin_id: int = Field(examples=[1])
    state: str = Field(examples=["ready"])
    reason: str


class ProxySpool(BaseModel):
    """What the proxies of an edge have recorded and nobody has consumed: the relay, or the collectors."""

    waiting_events: int = Field(examples=[0])
    waiting_bytes: int = Field(examples=[0])
    oldest_seconds: float = Field(description="How long the oldest of them has waited.", examples=[0.0])
    late: bool = Field(description="Whether that is past half of the spool's retention.")


class Proxy(BaseModel):
    """A process that serves model calls."""

    name: str = Field(examples=["proxy-0"])
    pid: int | None
    edge_id: str
    namespace: str
    applied_revision: int = Field(description="The revision it works with.", examples=[12])
    up_to_date: bool = Field(description="Whether that is the newest.")
    plugins: list[ProxyPlugin]
    spool: ProxySpool | None = Field(
        description="The same for all proxies of an edge; null while whoever reads it does not report."
    )
    seen_at: str = Field(description="When it last reported.", examples=["2026-01-31T12:00:00.000000Z"])
    stale: bool = Field(description="It has not reported for ten seconds and may be gone.")


@router.get("", summary="List proxies")
async def list_proxies(control: Control, caller: Caller, asked: PageQuery) -> Page[Proxy]:
    """Those that have reported within the last hour. Compare `applied_revision` with the `X-Weir-Revision`
    of a write to see where it is in force."""
    async with control.store.reading() as connection:
        newest = await newest_revision(connection)
        plugins = await _seen_plugins(connection, caller, control.store.keyring)
    proxies = [
        _answer(worker, newest, plugins, control.workers.spool_of(worker.report.edge_id))
        for worker in control.workers.all()
        if worker.report.role == "proxy" and caller.reaches(worker.report.namespace)
    ]
    return slice_of(proxies, asked)


async def _seen_plugins(
    connection: AsyncConnection, caller: Principal, keyring: KeyRing
) -> Mapping[int, list[Any]]:
    """The plugins that the caller sees, each with its secrets: a worker's word on it may repeat them."""
    rows = await connection.execute(select(plugins_table).where(*visible(caller, PLUGIN)))
    return {row["id"]: plugin_secrets(keyring, row) for row in rows.mappings()}


def _answer(
    worker: Worker, newest: int, plugins: Mapping[int, list[Any]], spool: SpoolStatus | None
) -> Proxy:
    report = worker.report
    return Proxy(
        name=report.worker,
        pid=report.pid,
        edge_id=report.edge_id,
        namespace=report.namespace,
        applied_revision=report.revision,
        up_to_date=report.revision >= newest,
        plugins=[
            ProxyPlugin(
                plugin_id=plugin_id, state=plugin.state, reason=blot_out(plugin.reason, plugins[plugin_id])
            )
            for plugin_id, plugin in sorted(report.plugins.items())
            # One that is deleted goes on for a moment; nobody can say any more what its secrets were.
            if plugin_id in plugins
        ],
        spool=None if spool is None else _spool(spool),
        seen_at=rfc3339(worker.seen_at_us),
        stale=worker.stale,
    )


def _spool(status: SpoolStatus) -> ProxySpool:
    return ProxySpool(
        waiting_events=status.waiting_events,
        waiting_bytes=status.waiting_bytes,
        oldest_seconds=status.oldest_s,
        late=status.late,
    )
