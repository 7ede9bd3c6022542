"""What a plugin did, and how it stood its checks, for people to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from weir_cli.plugin.checking import Verdict
from weir_cli.plugin.effects import Block, Change, Effect, Outcome
from weir_sdk.testing import LogLine

_STYLES: Final[dict[Outcome, str]] = {
    "unchanged": "dim",
    "no_answer": "dim",
    "changed": "yellow",
    "blocked": "magenta",
    "answered": "magenta",
    "failed": "bold red",
}
_COLLECTING: Final = ("handle_proxy_log", "handle_analytics", "handle_budget_usage", "handle_batch")
_MOST_LINES: Final = 60


def show_effect(console: Console, effect: Effect) -> None:
    """Print one hook's effect: a line, and below it what is different."""
    line = Text.assemble(
        (f"{effect.hook:<24}", "bold"),
        (f"{effect.outcome.replace('_', ' '):<14}", _STYLES.get(effect.outcome, "green")),
    )
    if effect.outcome != "failed" or effect.took_ms:
        line.append(f"{effect.took_ms:9.2f} ms")
    if effect.calls > 1:
        line.append(f" in {effect.calls} calls")
    console.print(line.append(f"  {effect.subject}", "dim"), soft_wrap=True)
    for text in _details(effect):
        console.print(text, soft_wrap=True)


def show_log(console: Console, lines: Sequence[LogLine]) -> None:
    """Print what the plugin and its host logged."""
    if lines:
        console.print("\nlog", style="bold")
    for line in lines:
        values = " ".join(f"{name}={value}" for name, value in own_values(line).items())
        console.print(Text(f"  {line.level:<8}{line.message} {values}".rstrip()), soft_wrap=True)


def own_values(line: LogLine) -> dict[str, Any]:
    """What was logged beside the message, without the marks of host and logging library."""
    return {name: value for name, value in line.values.items() if name != "plugin" and name[:1] != "@"}


def show_verdicts(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Print the table of checks, what was found, and what to do."""
    table = Table("check", "", "what was found", title_justify="left")
    for verdict in verdicts:
        mark = Text("pass", "green") if verdict.passed else Text("FAIL", "bold red")
        found = Text(verdict.found)
        if verdict.advice:
            found.append(f"\n{verdict.advice}", "yellow")
        table.add_row(Text(verdict.check), mark, found)
    console.print(table)


def _details(effect: Effect) -> Iterator[Text]:
    if effect.error:
        retried = "; a gateway tries it again" if effect.retryable and effect.hook in _COLLECTING else ""
        yield Text(f"  {effect.error}{retried}", "red")
    if effect.block is not None:
        yield from _block(effect.block)
    if effect.credential is not None:
        who = effect.credential
        app = "the attachment's default_app_id" if who.app_id is None else who.app_id
        yield Text(f"  user {who.user_id or '-'}, app {app}, claims {who.claims}")
    for change in effect.changes:
        yield from _change(change)


def _block(block: Block) -> Iterator[Text]:
    yield Text(f"  the client gets {block.status_code} {block.error_message}".rstrip())
    for name, value in block.headers.items():
        yield Text(f"  {name}: {value}")
    if block.body is not None:
        yield from (Text(f"  {line}") for line in _lines(block.body))


def _change(change: Change) -> Iterator[Text]:
    if change.what not in ("body", "events"):
        name = change.what.removeprefix("header ")
        if change.before is not None:
            yield Text(f"  - {name}: {change.before}", "red")
        if change.after is not None:
            yield Text(f"  + {name}: {change.after}", "green")
        return
    yield Text(f"  {change.what}", "bold")
    lines = list(difflib.unified_diff(_lines(change.before), _lines(change.after), n=2, lineterm=""))[2:]
    for line in lines[:_MOST_LINES]:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[0], "")
        yield Text(f"  {line}", style)
    if len(lines) > _MOST_LINES:
        yield Text(f"  ... and {len(lines) - _MOST_LINES} lines more; --json shows all", "dim")


def _lines(value: Any) -> list[str]:
    """A body as lines to compare: JSON with an element a line, a stream with an event a line."""
    if isinstance(value, str):
        return value.splitlines()
    if isinstance(value, list):
        return [item if isinstance(item, str) else msgspec.json.encode(item).decode() for item in value]
    return msgspec.json.format(msgspec.json.encode(value)).decode().splitlines()
