"""The real application over a real SQLite file and a real config feed; only trial starts of plugins are played."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine

from weir_collectors.database import create_engine
from weir_control import migrations
from weir_control.migrations import upgrade
from weir_control.outlets import FileOutlet
from weir_control.plugins.probing import Prober
from weir_control.principal import Actor
from weir_control.publisher import Publisher
from weir_control.service import ControlService
from weir_control.store.store import Store, newest_revision
from weir_control.store.tokens import ensure_admin_token
from weir_core.clock import SystemClock
from weir_core.objects import Plugin
from weir_core.secrets import KeyRing
from weir_core.snapshot import Snapshot
from weir_host.probe import ProbeResult
from weir_streams.config_feed import FileConfigFeed

ADMIN_TOKEN = "the-admin-token-of-these-tests"
TESTER = Actor(kind="command_line", name="tester")
ALL_HOOKS = frozenset(("pre_auth", "auth", "post_auth", "on_response", "data_collection"))


class PlayedProber:
    """Says of each plugin what the test decided, by its command; that it starts, when nothing was."""

    def __init__(self) -> None:
        self.results: dict[str, ProbeResult] = {}
        self.tried: list[Plugin] = []
        self.before_answer = asyncio.Event()
        self.before_answer.set()
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, plugin: Plugin) -> ProbeResult:
        self.tried.append(plugin)
        await self.before_answer.wait()
        if self.meanwhile is not None:
            await self.meanwhile()
        return self.results.get(plugin.command, ProbeResult(ok=True, hooks=ALL_HOOKS))


class MovableClock(SystemClock):
    """The machine's clocks, and what a test adds to them."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def wall_us(self) -> int:
        return super().wall_us() + int(self.ahead_s * 1_000_000)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class Api:
    """The API as one caller sees it."""

    def __init__(self, client: httpx2.AsyncClient, token: str | None) -> None:
        self._client = client
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        """Send one request; ``path`` starts after ``/api/v1``."""
        headers = self._headers | options.pop("headers", {})
        if body is not None:
            options["json"] = body
        return await self._client.request(method, f"/api/v1{path}", headers=headers, **options)

    async def data(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """What a request that has to succeed answers in ``data``."""
        answer = await self(method, path, body, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()["data"] if answer.content else None

    async def problem(self, status: int, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The problem that a request has to end with."""
        answer = await self(method, path, body, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == status
        return problem

    async def errors(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, str]:
        """Field to code of the errors in a 422."""
        problem = await self.problem(422, method, path, body, **options)
        return {error["field"]: error["code"] for error in problem["errors"]}

    async def llm(self, **fields: Any) -> Any:
        """Create an LLM like any other, but for what the test names."""
        given = {"name": "OpenAI", "vendor": "openai", "api_endpoint": "https://api.openai.com/v1"}
        return await self.data("POST", "/llms", given | fields)

    async def app(self, **fields: Any) -> Any:
        return await self.data("POST", "/apps", {"name": "Support bot"} | fields)

    async def plugin(self, **fields: Any) -> Any:
        given = {"name": "Enricher", "command": "python://acme.enricher:Enricher"}
        return await self.data("POST", "/plugins", given | fields)


@dataclass
class World:
    """A control process without its listener."""

    service: ControlService
    store: Store
    feed: FileConfigFeed
    prober: PlayedProber
    clock: MovableClock
    client: httpx2.AsyncClient
    url: str

    def as_(self, token: str | None) -> Api:
        return Api(self.client, token)

    @property
    def admin(self) -> Api:
        return self.as_(ADMIN_TOKEN)

    async def caller(self, role: str, *namespaces: str) -> Api:
        """Somebody with a new token of this role, bound to these namespaces or to none."""
        wanted = {"name": f"the {role}", "role": role, "namespaces": list(namespaces)}
        created = await self.admin.data("POST", "/tokens", wanted)
        return self.as_(created["secret"])

    async def published(self, answer: httpx2.Response | None = None) -> Snapshot:
        """What readers of the feed see once a write (or everything up to now) is published."""
        revision = int(answer.headers["x-weir-revision"]) if answer is not None else await self._newest()
        async with asyncio.timeout(20):
            await self.service.publisher.wait_for(revision)
        snapshot = self.feed.current()
        assert snapshot is not None
        return snapshot

    async def _newest(self) -> int:
        async with self.store.reading() as connection:
            return await newest_revision(connection)


def open_engine(url: str) -> AsyncEngine:
    """An engine that never waits for the disk: no test cuts the power."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _do_not_sync)
    return engine


def _do_not_sync(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as a first start leaves it; tests take copies."""
    path = tmp_path_factory.mktemp("database") / "weir.db"
    asyncio.run(upgrade(f"sqlite:///{path}"))
    return path


@pytest.fixture
def keyring() -> KeyRing:
    return KeyRing.from_text(KeyRing.generate_key())


@pytest.fixture
def database_url(tmp_path: Path, migrated_database: Path) -> str:
    shutil.copy(migrated_database, tmp_path / "weir.db")
    return f"sqlite:///{tmp_path / 'weir.db'}"


@asynccontextmanager
async def running_world(directory: Path, database: Path, keyring: KeyRing) -> AsyncIterator[World]:
    """A control process over a copy of ``database``."""
    shutil.copy(database, directory / "weir.db")
    url = f"sqlite:///{directory / 'weir.db'}"
    clock = MovableClock()
    store = Store(open_engine(url), keyring, clock)
    await ensure_admin_token(store, ADMIN_TOKEN)
    feed = FileConfigFeed(directory / "config", keyring, structlog.get_logger())
    prober = PlayedProber()
    service = ControlService(store, Publisher(store, FileOutlet(feed)), prober, "test")
    await service.start()
    transport = httpx2.ASGITransport(service.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://weir") as client:
        yield World(service, store, feed, prober, clock, client, url)
    await service.stop()
    await store.engine.dispose()


@asynccontextmanager
async def probing_admin(
    directory: Path, database_url: str, keyring: KeyRing, prober: Prober
) -> AsyncIterator[Api]:
    """An admin of a control process that really starts the plugins it is given."""
    store = Store(open_engine(database_url), keyring, SystemClock())
    await ensure_admin_token(store, ADMIN_TOKEN)
    feed = FileConfigFeed(directory / "config", keyring, structlog.get_logger())
    service = ControlService(store, Publisher(store, FileOutlet(feed)), prober, "test")
    transport = httpx2.ASGITransport(service.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://weir") as client:
        yield Api(client, ADMIN_TOKEN)
    await store.engine.dispose()


@pytest.fixture
async def world(tmp_path: Path, migrated_database: Path, keyring: KeyRing) -> AsyncIterator[World]:
    async with running_world(tmp_path, migrated_database, keyring) as running:
        yield running


@pytest.fixture
def admin(world: World) -> Api:
    return world.admin


refusal = pytest.mark.asyncio(loop_scope="module")
"""Marks a test that works with ``refusing``."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def refusing(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> AsyncIterator[Api]:
    """An admin in a world that all of a module's refusals share: at the end nothing may have been stored."""
    keyring = KeyRing.from_text(KeyRing.generate_key())
    directory = tmp_path_factory.mktemp("refusing")
    async with running_world(directory, migrated_database, keyring) as running:
        before = (await running.published()).revision
        yield running.admin
        assert (await running.published()).revision == before


async def upgrade_to(revision: str, url: str) -> None:
    """Bring a new database to an older version's shape."""

    def run(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    if revision == "base":
        return
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()
