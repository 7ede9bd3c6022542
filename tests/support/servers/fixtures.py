"""Fixtures that give a test a real Kafka, Elasticsearch or Postgres, one of each for the whole run.

An address in the environment (``WEIR_TEST_KAFKA``, ``WEIR_TEST_ELASTICSEARCH``, ``WEIR_TEST_POSTGRES``) is
taken as it is; else the server is started here. The servers are shared: a test uses names of its own for
topics (``KafkaSettings.prefix``), indices and databases. One that kills its server starts its own.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest
from tests.support.servers.availability import absences, server_needed
from tests.support.servers.elasticsearch import ElasticsearchServer, elasticsearch_jars
from tests.support.servers.java import java_command
from tests.support.servers.kafka import KafkaServer, kafka_jars
from tests.support.servers.postgres import PostgresServer, postgres_programs

from weir_control.migrations import upgrade


@pytest.fixture(scope="session")
def kafka_programs() -> None:
    """For tests that start brokers of their own: skipped where Kafka cannot be had."""
    with server_needed("Kafka"):
        java_command()
        kafka_jars()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a Kafka that is up."""
    given = os.environ.get("WEIR_TEST_KAFKA")
    if given:
        yield given
        return
    request.getfixturevalue("kafka_programs")
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    try:
        server.start()
        yield server.bootstrap_servers
    finally:
        server.stop()


@pytest.fixture(scope="session")
def elasticsearch_programs() -> None:
    """For tests that start a node of their own: skipped where Elasticsearch cannot be had."""
    with server_needed("Elasticsearch"):
        java_command()
        elasticsearch_jars()


@pytest.fixture(scope="session")
def elasticsearch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an Elasticsearch that is up."""
    given = os.environ.get("WEIR_TEST_ELASTICSEARCH")
    if given:
        yield given
        return
    request.getfixturevalue("elasticsearch_programs")
    server = ElasticsearchServer(tmp_path_factory.mktemp("elasticsearch"))
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of the maintenance database of a Postgres that is up; ``postgres`` gives a test its own."""
    given = os.environ.get("WEIR_TEST_POSTGRES")
    if given:
        yield given
        return
    with server_needed("Postgres"):
        postgres_programs()
    server = PostgresServer()
    try:
        server.start()
        yield server.url()
    finally:
        server.stop()


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """``postgresql://`` URL of an empty database that is this test's alone."""
    with _database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """Name of a database with this version's tables that nobody connects to."""
    with _database(postgres_server) as url:
        asyncio.run(upgrade(url))
        yield url.rpartition("/")[2]


@pytest.fixture
def migrated_postgres(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """URL of a database with this version's tables that is this test's alone."""
    with _database(postgres_server, postgres_template) as url:
        yield url


@pytest.fixture(scope="session")
def shared_postgres(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The same for many small tests, of which each empties what it works with."""
    with _database(postgres_server, postgres_template) as url:
        yield url


@contextmanager
def _database(server: str, template: str = "template0") -> Iterator[str]:
    name = f"weir_{uuid.uuid4().hex}"
    _execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield f"{server.rpartition('/')[0]}/{name}"
    finally:
        _execute(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def _execute(url: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the suites that could not run."""
    for reason, files in absences(terminalreporter.getreports("skipped")).items():
        terminalreporter.write_line(f"could not run here: {', '.join(sorted(files))} ({reason})")
