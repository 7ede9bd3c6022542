"""``weir topics``: the topics in Kafka as they should be, shown or made so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from weir_cli.configuration import load_settings
from weir_cli.kafka import kafka_settings, topic_options
from weir_cli.options import Config
from weir_cli.printing import output
from weir_core.settings import Settings
from weir_streams.kafka.acls import least_rights
from weir_streams.kafka.topics import Difference, Topic, open_topic_admin, planned_topics

app = typer.Typer(no_args_is_help=True, help="The topics in Kafka.")


Namespaces = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace",
        metavar="NAME",
        help="Proxies of this namespace get their configuration from Kafka; may be given several times. The "
        "default namespace and WEIR_EDGE_NAMESPACE have their topics anyway.",
    ),
]


@app.command()
def apply(namespace: Namespaces = None, config: Config = None) -> None:
    """Make what is missing and change what differs. Nothing is deleted; running it again does nothing."""
    settings = load_settings(config, {})
    differences = asyncio.run(_differences(settings, _plan(settings, namespace), change=True))
    if not differences:
        typer.echo("All topics are as they should be.")
    for one in differences:
        typer.echo(f"{'left' if one.note else 'done'}  {one if one.note else one.mended}")


@app.command()
def show(
    acls: Annotated[
        bool, typer.Option("--acls", help="Print the least rights that each role needs.")
    ] = False,
    namespace: Namespaces = None,
    config: Config = None,
) -> None:
    """Show what the topics should be and what differs; exit code 1 when something does."""
    settings = load_settings(config, {})
    if acls:
        _print_rights(settings)
        return
    plan = _plan(settings, namespace)
    differences = asyncio.run(_differences(settings, plan, change=False))
    _print_plan(plan, differences)
    if differences:
        typer.echo("weir topics apply makes them so.")
        raise typer.Exit(1)


def _plan(settings: Settings, namespaces: Sequence[str] | None) -> list[Topic]:
    return planned_topics(kafka_settings(settings.kafka), topic_options(settings, namespaces or ()))


async def _differences(settings: Settings, plan: Sequence[Topic], *, change: bool) -> list[Difference]:
    async with open_topic_admin(kafka_settings(settings.kafka)) as admin:
        return await (admin.apply(plan) if change else admin.differences(plan))


def _print_plan(plan: Sequence[Topic], differences: Sequence[Difference]) -> None:
    table = Table("topic", "partitions", "settings", "differs")
    for topic in plan:
        own = [one for one in differences if one.topic == topic.name]
        differs = "\n".join(str(one).removeprefix(f"{topic.name}: ") for one in own)
        configs = "\n".join(f"{name}={value}" for name, value in topic.configs.items())
        table.add_row(topic.name, str(topic.partitions), configs, differs or "-")
    output().print(table)


def _print_rights(settings: Settings) -> None:
    table = Table("role", "operation", "resource", "name")
    for right in least_rights(kafka_settings(settings.kafka)):
        table.add_row(right.role, right.operation, right.resource, right.name)
    output().print(table)
