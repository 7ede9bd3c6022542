"""A conformance run: a plugin is started, shown what is usual and what is odd, and stopped."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from weir_cli.errors import PluginNotStartedError
from weir_cli.plugin.arguments import hook_types
from weir_cli.plugin.handshake import ends_without_host, first_line
from weir_cli.plugin.leftovers import Leftovers
from weir_cli.plugin.oddities import (
    Shown,
    a_call,
    analytics,
    batches,
    budget_usage,
    chunks,
    payloads,
    proxy_logs,
    requests,
    responses,
    streams,
)
from weir_cli.plugin.rig import COLLECTOR_TIMEOUT_S, HOOK_TIMEOUT_S, started, timed
from weir_cli.plugin.trial import snapshot_of, tried
from weir_core.objects import Plugin
from weir_host.child.handshake import is_handshake
from weir_host.commands import FileCommand, parse_command
from weir_host.errors import (
    PluginError,
    PluginNotReadyError,
    PluginProtocolError,
    PluginTimeoutError,
    PluginTooLargeError,
)
from weir_host.instance import Instance
from weir_host.probe import ProbeResult
from weir_sdk.capabilities import HANDLERS
from weir_sdk.testing import RecordingLogger

_SHOWN: Final = 100
_SCHEMA_FAILED: Final = "get_config_schema"
_Call = Coroutine[Any, Any, Any]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One check: what was looked at, what was found, and what to do where it failed."""

    check: str
    passed: bool
    found: str
    advice: str = ""


class _Handler(NamedTuple):
    """How a handler is called, with what, and how long it may take."""

    ask: Callable[[Instance, Any], _Call]
    inputs: tuple[Callable[[], Iterator[Shown]], ...]
    within_s: float = HOOK_TIMEOUT_S


_HANDLERS: Final[dict[str, _Handler]] = {
    "handle_pre_auth": _Handler(lambda plugin, it: plugin.pre_auth(a_call(known=False), it), (requests,)),
    "handle_auth": _Handler(lambda plugin, it: plugin.auth(a_call(known=False), it), (requests,)),
    "handle_post_auth": _Handler(lambda plugin, it: plugin.post_auth(a_call(), it), (requests,)),
    "on_before_write_headers": _Handler(
        lambda plugin, it: plugin.response_headers(a_call(), it), (responses,)
    ),
    "on_before_write": _Handler(lambda plugin, it: plugin.response_body(a_call(), it), (responses, chunks)),
    "on_stream_complete": _Handler(
        lambda plugin, it: plugin.stream_complete(a_call(), it), (streams,), COLLECTOR_TIMEOUT_S
    ),
    "handle_proxy_log": _Handler(lambda plugin, it: plugin.proxy_log(it), (proxy_logs,), COLLECTOR_TIMEOUT_S),
    "handle_analytics": _Handler(lambda plugin, it: plugin.analytics(it), (analytics,), COLLECTOR_TIMEOUT_S),
    "handle_budget_usage": _Handler(
        lambda plugin, it: plugin.budget_usage(it), (budget_usage,), COLLECTOR_TIMEOUT_S
    ),
    "handle_batch": _Handler(lambda plugin, it: plugin.batch(it), (batches,), COLLECTOR_TIMEOUT_S),
    "accept_edge_payload": _Handler(
        lambda plugin, it: plugin.edge_payload(it), (payloads,), COLLECTOR_TIMEOUT_S
    ),
}


async def check_plugin(plugin: Plugin) -> list[Verdict]:
    """Run all checks that make sense; those behind a plugin that cannot start do not.

    Args:
        plugin: Its hook types count where its program cannot say which it has.
    """
    leftovers = Leftovers()
    verdicts = await _checked(plugin)
    left = await leftovers.end()
    check = "nothing of it is left"
    if left:
        advice = "end in shutdown() what the plugin starts"
        return [*verdicts, _failed(check, f"still running: {'; '.join(left)}", advice)]
    return [*verdicts, _passed(check, "no process")]


async def _checked(plugin: Plugin) -> list[Verdict]:
    found = await tried(plugin)
    verdicts = list(_beginnings(plugin, found))
    command = parse_command(plugin.command)
    if isinstance(command, FileCommand) and found.ok:
        verdicts += await _manners(command.path)
    if not all(verdict.passed for verdict in verdicts):
        return verdicts
    hooks = [name for name in HANDLERS if name in found.hooks] or plugin.hook_types
    return verdicts + await _at_work(msgspec.structs.replace(plugin, hook_types=hook_types(hooks)))


def _beginnings(plugin: Plugin, found: ProbeResult) -> Iterator[Verdict]:
    handlers = sorted(name for name in found.hooks if name in _HANDLERS)
    if handlers:
        yield _passed("it says what it has", ", ".join(handlers))
    elif found.ok:
        yield Verdict(
            check="it says what it has",
            passed=bool(plugin.hook_types),
            found=f"it does not say; taken as {', '.join(plugin.hook_types) or 'nothing'}",
            advice="" if plugin.hook_types else "give it a handler, or name what it has: --hook post_auth",
        )
    if found.reason.startswith(_SCHEMA_FAILED):
        yield _failed("its schema is a JSON Schema", found.reason, "return draft-07 or 2020-12, or nothing")
        return
    if found.config_schema is not None:
        yield _passed("its schema is a JSON Schema", f"{len(found.config_schema)} keywords")
        yield _fitting(found)
    elif found.ok:
        yield _passed("its schema is a JSON Schema", "none: any configuration is accepted")
    if found.ok:
        yield _passed("it starts and stops", "in a process of its own")
    elif not found.schema_errors:
        yield _failed("it starts and stops", found.reason, "mend what the message names; --config may be it")


def _fitting(found: ProbeResult) -> Verdict:
    check = "the configuration fits its schema"
    if not found.schema_errors:
        return _passed(check, "yes")
    errors = "\n".join(f"{path or 'config'}: {message}" for path, message in found.schema_errors)
    return _failed(check, errors, "give one that fits with --config")


async def _manners(path: str) -> list[Verdict]:
    """What hosts of other makes insist on."""
    line = await first_line(path)
    early = "nothing comes before its handshake"
    alone = "it knows that it is a plugin"
    return [
        _passed(early, "its first line says where it listens")
        if is_handshake(line)
        else _failed(
            early,
            f"its first line is {line[:_SHOWN]!r}",
            "print to standard error until serve has begun, or log with ctx.services.logger",
        ),
        _passed(alone, "without a host it says so and ends")
        if await ends_without_host(path)
        else _failed(alone, "without a host it goes on", "let the script end with weir_sdk.serve(...)"),
    ]


async def _at_work(plugin: Plugin) -> list[Verdict]:
    """Host it, call it, and see it off."""
    logger = RecordingLogger()
    verdicts: list[Verdict] = []
    try:
        async with started(plugin, snapshot_of(plugin), logger) as instance:
            for name, handler in _HANDLERS.items():
                if instance.implements(name):
                    verdicts.append(await _endured(instance, name, handler))
    except PluginNotStartedError as error:
        verdicts.append(_failed("a gateway can host it", str(error), "mend what the message names"))
    return [*verdicts, _ended(logger)]


async def _endured(instance: Instance, name: str, handler: _Handler) -> Verdict:
    """Show a handler everything; what fails first is the verdict."""
    count, slowest_ms, notes = 0, 0.0, ""
    for shown in _all(handler.inputs):
        try:
            answer, took_ms = await timed(handler.ask(instance, shown.value), handler.within_s)
        except PluginTooLargeError:
            notes = f"; {shown.name} is more than it can take, and callers get a 413"
            continue
        except PluginError as error:
            return _failed(name, f"{shown.name}: {error}", _advice(error))
        if refusal := _refusal(answer):
            return _failed(name, f"{shown.name}: {refusal}", _NOT_COLLECTED)
        count += 1
        slowest_ms = max(slowest_ms, took_ms)
    return _passed(name, f"{count} inputs, {slowest_ms:.1f} ms at most{notes}")


def _all(inputs: Iterable[Callable[[], Iterator[Shown]]]) -> Iterator[Shown]:
    for several in inputs:
        yield from several()


def _refusal(answer: Any) -> str:
    """Why a collector did not take an event; empty where it did, and for every other hook's answer."""
    for one in answer if isinstance(answer, list) else [answer]:
        if getattr(one, "success", True) is False:
            return f"success=False, {one.error_message or 'and not why'}"
    return ""


_NOT_COLLECTED: Final = (
    "such an event becomes a dead letter: take it, or return None for what is of no interest"
)


def _advice(error: PluginError) -> str:
    match error:
        case PluginTimeoutError():
            return "await what waits, and give it a deadline of its own"
        case PluginProtocolError():
            return "return None, or the response that the handler is for"
        case PluginNotReadyError():
            return "let nothing end the process; raise an exception instead"
    return "expect such input: where the plugin guards something, the caller gets an error for it"


def _ended(logger: RecordingLogger) -> Verdict:
    check = "it stops cleanly"
    for line in logger.lines:
        if line.message == "plugin failed in shutdown":
            return _failed(
                check, f"shutdown: {line.values.get('error')}", "mend shutdown(); it has 5 seconds"
            )
        if line.message == "plugin lost":
            return _failed(check, f"{line.values.get('reason')}", "let nothing end the process")
    return _passed(check, f"lines in the log: {len(logger.lines)}")


def _passed(check: str, found: str) -> Verdict:
    return Verdict(check=check, passed=True, found=found)


def _failed(check: str, found: str, advice: str) -> Verdict:
    return Verdict(check=check, passed=False, found=found, advice=advice)
