"""What a plugin is tried out with: the hooks that it has, and a configuration that knows its callers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import typer

from weir_cli.errors import PluginNotStartedError
from weir_cli.plugin.arguments import hook_types
from weir_cli.plugin.recorded import Exchange, Recorded
from weir_core.objects import App, Llm, Plugin
from weir_core.snapshot import Snapshot
from weir_host.probe import ProbeResult, probe
from weir_sdk.capabilities import HANDLERS


class Callers(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, in place of who is recorded; None leaves it."""

    app_id: int | None = None
    user_id: str | None = None

    def applied_to(self, recorded: Recorded) -> Recorded:
        """The same, of this caller."""
        who = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        if isinstance(recorded, Exchange):
            call = msgspec.structs.replace(recorded.call, **who)
            return msgspec.structs.replace(recorded, call=call)
        return msgspec.structs.replace(recorded, **who)


async def tried(plugin: Plugin) -> ProbeResult:
    """Start and stop it once in a process of its own, as the management plane does with a new plugin."""
    return await probe(plugin, None, None)


async def declared(plugin: Plugin, recorded: Sequence[Recorded]) -> Plugin:
    """The plugin with the hook types that it is to be hosted for: those asked for, else all that it has.

    Raises:
        PluginNotStartedError: It cannot start with its configuration.
        typer.BadParameter: It cannot say which hooks it has, and nobody else did.
    """
    found = await tried(plugin)
    if not found.ok:
        errors = "".join(f"\n  {path or 'config'}: {message}" for path, message in found.schema_errors)
        raise PluginNotStartedError(f"{plugin.command} does not start: {found.reason}{errors}")
    has = [name for name in HANDLERS if name in found.hooks]
    if not has and not plugin.hook_types:
        raise typer.BadParameter(
            "the program does not say which hooks it has; name them: --hook post_auth", param_hint="--hook"
        )
    missing = [name for name in plugin.hook_types if has and name not in has]
    if missing:
        raise typer.BadParameter(
            f"the plugin has no {missing[0]}; it has {', '.join(has)}", param_hint="--hook"
        )
    return msgspec.structs.replace(plugin, hook_types=plugin.hook_types or hook_types(has))


def snapshot_of(plugin: Plugin, recorded: Sequence[Recorded] = ()) -> Snapshot:
    """A configuration with the plugin, and with the apps and LLMs that are called in what is recorded."""
    apps = {app: App(id=app, name=f"app {app}") for app, _, _, _ in map(_who, recorded) if app is not None}
    llms = {
        llm: Llm(id=llm, name=slug or f"llm {llm}", slug=slug or f"llm-{llm}", vendor=vendor, api_endpoint="")
        for _, llm, slug, vendor in map(_who, recorded)
        if llm is not None
    }
    return Snapshot(1, (plugin, *apps.values(), *llms.values()))


def _who(recorded: Recorded) -> tuple[int | None, int | None, str, str]:
    facts = recorded.call if isinstance(recorded, Exchange) else recorded
    return facts.app_id, facts.llm_id, facts.llm_slug or "", facts.vendor or ""
