"""The database as ``weir doctor`` sees it: its tables, the secrets in it, its dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from alembic.script import ScriptDirectory
from sqlalchemy import func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

import weir_control.migrations
from weir_cli.bootstrap import database_url
from weir_cli.doctor_findings import Finding, Patient, note, ok, wrong
from weir_cli.doctor_roles import examine_roles
from weir_cli.keys_sealed import SealedValue, sealed_values
from weir_collectors.database import create_engine, reading, reason_of
from weir_collectors.dead_letters import LetterState
from weir_collectors.tables_dead_letters import dead_letters
from weir_control.store.tables import llms
from weir_control.studio.inbox import PayloadState, count_payloads
from weir_core.errors import SecretError, SettingsError
from weir_core.secrets import KeyRing

AREA: Final = "database"


class Origins(msgspec.Struct):
    """Addresses that the stored configuration names: upstreams by slug, Elasticsearch by plugin."""

    upstreams: dict[str, str] = msgspec.field(default_factory=dict)
    elasticsearch: dict[str, str] = msgspec.field(default_factory=dict)


async def examine_database(patient: Patient, origins: Origins) -> list[Finding]:
    """Everything about it; fills ``origins`` with the addresses that are found on the way."""
    if patient.settings.database_url is None and not patient.data_dir.database.exists():
        return [
            note(
                AREA,
                f"{patient.data_dir.database} does not exist",
                "weir serve makes it; weir proxy, relay and streams need none",
            )
        ]
    try:
        async with _connected(patient) as connection:
            return [finding async for finding in _look(patient, connection, origins)]
    except (SQLAlchemyError, OSError) as error:
        reason = reason_of(error)
        return [wrong(AREA, f"does not answer: {reason}", "start it, or correct WEIR_DATABASE_URL")]


@asynccontextmanager
async def _connected(patient: Patient) -> AsyncIterator[AsyncConnection]:
    engine = create_engine(database_url(patient.settings, patient.data_dir))
    try:
        async with reading(engine) as connection:
            yield connection
    finally:
        await engine.dispose()


async def _look(patient: Patient, connection: AsyncConnection, origins: Origins) -> AsyncIterator[Finding]:
    revision = await _revision(connection)
    head = ScriptDirectory(str(Path(weir_control.migrations.__file__).parent)).get_current_head()
    if revision != head:
        yield wrong(
            AREA,
            f"its tables are at revision {revision or 'none'}, this version needs {head}",
            "run weir db upgrade (weir serve does it by itself), or install the newer version that made it",
        )
        return
    yield ok(AREA, f"{connection.dialect.name}, tables at revision {revision}")
    for row in await connection.execute(select(llms.c.slug, llms.c.api_endpoint).where(llms.c.is_active)):
        origins.upstreams[row.slug] = row.api_endpoint
    for finding in _secrets(patient, await sealed_values(connection), origins):
        yield finding
    failed = await _failed_letters(connection)
    if failed:
        yield note(AREA, f"{failed} dead letters", "weir dead-letters list shows why; redrive delivers again")
    else:
        yield ok(AREA, "no dead letters")
    yield _payloads(await count_payloads(connection))
    if connection.dialect.name == "postgresql":
        for finding in await examine_roles(patient.settings, connection):
            yield finding


async def _revision(connection: AsyncConnection) -> str | None:
    has = await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version"))
    if not has:
        return None
    return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()


async def _failed_letters(connection: AsyncConnection) -> int:
    failed = dead_letters.c.state == LetterState.FAILED.value
    query = select(func.count()).select_from(dead_letters).where(failed)
    count: int = (await connection.execute(query)).scalar_one()
    return count


def _payloads(counts: Mapping[str, int]) -> Finding:
    waiting, dead = (counts.get(state, 0) for state in (PayloadState.WAITING, PayloadState.FAILED))
    line = f"{waiting} edge payloads wait for a studio plugin, {dead} are dead letters"
    if not waiting + dead:
        return ok(AREA, line)
    return note(AREA, line, "GET /api/v1/edge-payloads says why; POST to its redrive delivers again")


def _secrets(patient: Patient, values: list[SealedValue], origins: Origins) -> Iterator[Finding]:
    keyring = keyring_of(patient)
    if keyring is None:
        yield wrong(
            "keys",
            "there are no encryption keys, or they cannot be read",
            f"put {patient.data_dir.encryption_keys} back, or give the keys in WEIR_ENCRYPTION_KEYS",
        )
        return
    unreadable = []
    for value in values:
        try:
            plain = keyring.open(value.sealed, value.context)
        except SecretError:
            unreadable.append(value.name)
            continue
        if value.is_plugin_config:
            _note_elasticsearch(value.name, plain, origins)
    if unreadable:
        yield wrong(
            "keys",
            f"{len(unreadable)} stored secrets cannot be opened: {', '.join(unreadable[:5])}",
            "put the key that sealed them back, or write them anew over the management API",
        )
    else:
        yield ok("keys", f"open all of {len(values)} stored secrets")


def keyring_of(patient: Patient) -> KeyRing | None:
    """The encryption keys of the installation; None where they are not here or cannot be read."""
    given = patient.settings.encryption_keys
    try:
        text_ = given.get_secret_value() if given else patient.data_dir.encryption_keys.read_text("ascii")
        return KeyRing.from_text(text_)
    except (OSError, SettingsError):
        return None


def _note_elasticsearch(name: str, plain: bytes, origins: Origins) -> None:
    config = msgspec.json.decode(plain)
    url = config.get("elasticsearch_url") if isinstance(config, dict) else None
    if isinstance(url, str) and url:
        origins.elasticsearch[name] = url
