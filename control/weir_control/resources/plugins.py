"""``/plugins``: the code that works on calls and events."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import RowMapping

from weir_control.api.answers import answer
from weir_control.api.envelopes import One, Page, PageQuery, page_of
from weir_control.api.fields import PathId
from weir_control.api.merge_patch import PatchBody, patched
from weir_control.api.validation import validate
from weir_control.deps import Caller, Control, ControlDeps, no_content, stamp
from weir_control.errors import NotFoundError
from weir_control.plugins.changes import Written
from weir_control.plugins.hidden import shown_config
from weir_control.plugins.hook_types import effective_hook_types
from weir_control.plugins.models import Health, Plugin, PluginInput, WorkerHealth
from weir_control.plugins.secrets import plugin_secrets
from weir_control.plugins.states import observed_state
from weir_control.principal import API_PREFIX, Principal
from weir_control.store.kinds import PLUGIN
from weir_control.store.namespaces import visible
from weir_control.store.relations import refuse_attached_plugin
from weir_control.store.rows import fetch, fetch_page, remove
from weir_control.store.sealing import open_config
from weir_control.workers import PluginReport
from weir_core.blotting import blot_out
from weir_core.errors import SecretError

router = APIRouter(prefix="/plugins", tags=["plugins"])


@router.get("", summary="List plugins")
async def list_plugins(control: Control, caller: Caller, asked: PageQuery) -> Page[Plugin]:
    async with control.store.reading() as connection:
        mine = visible(caller, PLUGIN)
        rows, total = await fetch_page(connection, PLUGIN, *mine, limit=asked.limit, offset=asked.offset)
    return page_of([_answer(control, caller, row) for row in rows], total, asked)


@router.post("", status_code=201, summary="Create a plugin")
async def create_plugin(
    control: Control, caller: Caller, body: PluginInput, response: Response
) -> One[Plugin]:
    """The plugin is started once, on trial, and its configuration checked against its own schema. One that
    cannot start is stored all the same, with `state: failed` and the reason."""
    written = await control.plugin_changes.create(caller, body)
    stamp(response, written.revision, f"{API_PREFIX}/plugins/{written.row['id']}")
    return One(data=_answer(control, caller, written.row))


@router.get("/{plugin_id}", summary="Get a plugin")
async def get_plugin(control: Control, caller: Caller, plugin_id: PathId) -> One[Plugin]:
    return One(data=_answer(control, caller, await _row(control, caller, plugin_id)))


@router.put("/{plugin_id}", summary="Replace a plugin")
async def replace_plugin(
    control: Control, caller: Caller, plugin_id: PathId, body: PluginInput, response: Response
) -> One[Plugin]:
    """What the body leaves out returns to its default; only the slug stays. A plugin that cannot start with
    the change is 422 and stays as it was."""
    current = await _row(control, caller, plugin_id)
    written = await control.plugin_changes.replace(caller, current, body)
    return _written(control, caller, written, response)


@router.patch("/{plugin_id}", summary="Change a plugin")
async def change_plugin(
    control: Control, caller: Caller, plugin_id: PathId, body: PatchBody, response: Response
) -> One[Plugin]:
    """JSON Merge Patch, also inside `config` and `collector`: only what the body names is changed. A plugin
    that cannot start with the change is 422 and stays as it was."""
    current = await _row(control, caller, plugin_id)
    document: dict[str, Any] = control.plugin_changes.document(current)
    if body.get("hook_type") is not None:
        # It names the whole list, so it must not be added to what was there.
        del document["hook_types"]
    wanted = validate(PluginInput, patched(document, body))
    written = await control.plugin_changes.replace(caller, current, wanted)
    return _written(control, caller, written, response)


@router.delete("/{plugin_id}", status_code=204, summary="Delete a plugin")
async def delete_plugin(control: Control, caller: Caller, plugin_id: PathId) -> Response:
    """409 while it is attached to an LLM: a guard does not vanish by the way."""
    async with control.store.changing(caller.actor) as change:
        await fetch(change.connection, PLUGIN, plugin_id, *visible(caller, PLUGIN))
        await refuse_attached_plugin(change.connection, caller, plugin_id)
        await remove(change, PLUGIN, plugin_id)
    return no_content(change.revision)


@router.post("/{plugin_id}/reload", summary="Start a plugin anew")
async def reload_plugin(
    control: Control, caller: Caller, plugin_id: PathId, response: Response
) -> One[Plugin]:
    """Every process starts a fresh instance, switches to it when it is ready and drains the old one."""
    written = await control.plugin_changes.reload(caller, await _row(control, caller, plugin_id))
    return _written(control, caller, written, response)


@router.get("/{plugin_id}/config-schema", summary="Get the schema of a plugin's configuration")
async def get_config_schema(control: Control, caller: Caller, plugin_id: PathId) -> One[dict[str, Any]]:
    """The plugin's own JSON Schema; `{}` when it has none and takes anything."""
    row = await _row(control, caller, plugin_id)
    if not row["probe_ok"]:
        raise NotFoundError(f"Plugin {plugin_id} could not start, so its schema is not known.")
    return One(data=row["probe_schema"] or {})


@router.get("/{plugin_id}/health", summary="Get a plugin's health")
async def get_plugin_health(control: Control, caller: Caller, plugin_id: PathId) -> One[Health]:
    """What it is doing, in each process that hosts it."""
    row = await _row(control, caller, plugin_id)
    observed = observed_state(row, control.workers)
    reports = control.workers.of_plugin(plugin_id, row["revision"])
    secrets = plugin_secrets(control.store.keyring, row)
    workers = {
        name: WorkerHealth(
            state=report.state, reason=blot_out(report.reason, secrets), restarts=report.restarts
        )
        for name, report in reports.items()
    }
    return One(
        data=Health(
            state=observed.state,
            reason=blot_out(observed.reason, secrets),
            restarts=sum(report.restarts for report in reports.values()),
            workers=workers,
        )
    )


async def _row(control: ControlDeps, caller: Principal, plugin_id: int) -> RowMapping:
    async with control.store.reading() as connection:
        return await fetch(connection, PLUGIN, plugin_id, *visible(caller, PLUGIN))


def _written(control: ControlDeps, caller: Caller, written: Written, response: Response) -> One[Plugin]:
    stamp(response, written.revision)
    return One(data=_answer(control, caller, written.row))


def _answer(control: ControlDeps, caller: Principal, row: RowMapping) -> Plugin:
    hook_types = effective_hook_types(row)
    observed = observed_state(row, control.workers)
    config: dict[str, Any] | None
    try:
        opened = open_config(control.store.keyring, row["id"], row["config_sealed"])
        config = shown_config(row, opened, unmarked=caller.sees_unmarked_config)
    except SecretError as error:
        # Workers do not get such a plugin at all.
        config, observed = None, PluginReport("failed", str(error))
    return answer(
        Plugin,
        row,
        config=config,
        hook_types=hook_types,
        hook_type=hook_types[0] if hook_types else None,
        state=observed.state,
        reason=blot_out(observed.reason, plugin_secrets(control.store.keyring, row)),
    )
