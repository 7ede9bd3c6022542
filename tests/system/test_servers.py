"""The servers that other tests stand on: they serve, and a SIGKILL costs nothing that was acknowledged."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from elasticsearch import AsyncElasticsearch
from tests.support.servers.elasticsearch import ElasticsearchServer
from tests.support.servers.kafka import KafkaServer
from tests.support.servers.postgres import PostgresServer

pytestmark = pytest.mark.system


async def send(bootstrap_servers: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def read_one(bootstrap_servers: str, topic: str) -> bytes:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return bytes((await consumer.getone()).value or b"")
    finally:
        await consumer.stop()


async def make_topic(bootstrap_servers: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()


async def test_kafka_takes_and_gives_records(kafka: str) -> None:
    topic = f"smoke-{uuid.uuid4().hex}"
    await make_topic(kafka, topic)
    await send(kafka, topic, b"value")
    assert await read_one(kafka, topic) == b"value"


@pytest.mark.crash
@pytest.mark.usefixtures("kafka_programs")
async def test_a_killed_broker_has_what_it_acknowledged(tmp_path: Path) -> None:
    server = KafkaServer(tmp_path)
    try:
        await asyncio.to_thread(server.start)
        await make_topic(server.bootstrap_servers, "kept")
        await send(server.bootstrap_servers, "kept", b"value")
        server.kill()
        await asyncio.to_thread(server.start)
        assert await read_one(server.bootstrap_servers, "kept") == b"value"
    finally:
        server.stop()


async def test_elasticsearch_takes_and_gives_documents(elasticsearch: str) -> None:
    index = f"smoke-{uuid.uuid4().hex}"
    async with AsyncElasticsearch(elasticsearch) as client:
        await client.index(index=index, id="1", document={"field": "value"}, refresh=True)
        assert (await client.count(index=index))["count"] == 1
        await client.indices.delete(index=index)


@pytest.mark.crash
@pytest.mark.usefixtures("elasticsearch_programs")
async def test_a_killed_node_has_what_it_acknowledged(tmp_path: Path) -> None:
    server = ElasticsearchServer(tmp_path)
    try:
        await asyncio.to_thread(server.start)
        async with AsyncElasticsearch(server.url) as client:
            await client.index(index="kept", id="1", document={"field": "value"})
            server.kill()
            await asyncio.to_thread(server.start)
            await client.cluster.health(wait_for_status="yellow", index="kept")
            assert (await client.get(index="kept", id="1"))["_source"] == {"field": "value"}
    finally:
        server.stop()


async def test_each_test_has_an_empty_database_of_its_own(postgres: str) -> None:
    connection = await asyncpg.connect(postgres)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await connection.close()


@pytest.mark.crash
@pytest.mark.usefixtures("postgres_server")
async def test_a_killed_postgres_has_what_it_committed() -> None:
    server = PostgresServer()
    try:
        await asyncio.to_thread(server.start)
        connection = await asyncpg.connect(server.url())
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        server.kill()
        await asyncio.to_thread(server.start)
        connection = await asyncpg.connect(server.url())
        assert await connection.fetchval("SELECT number FROM kept") == 7
        await connection.close()
    finally:
        server.stop()
