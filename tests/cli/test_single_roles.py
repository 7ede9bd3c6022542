"""Roles on machines of their own: what they need to start, and what keeps a proxy going."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from tests.cli.conftest import Weir
from tests.streams.support import RecordingLogger
from tests.support.gateway import eventually
from tests.support.roles import RoleProcess

from weir_cli.control_app import ControlApp
from weir_cli.following import ConfigFollower
from weir_core.objects import App
from weir_core.secrets import KeyRing
from weir_core.snapshot import Snapshot
from weir_streams.config_feed import FileConfigFeed
from weir_streams.errors import LogUnavailableError
from weir_streams.kafka.config_topic import ConfigTopic

KEYS = KeyRing([bytes(32)])
KAFKA = {"WEIR_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
POSTGRES = {"WEIR_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/weir"}
EDGE = {"WEIR_EDGE_ID": "edge"}


@pytest.mark.parametrize(
    ("command", "settings", "said"),
    [
        ("proxy", {}, "weir proxy needs Kafka"),
        ("proxy", KAFKA, "WEIR_EDGE_ID"),
        ("proxy", KAFKA | EDGE, "WEIR_ENCRYPTION_KEYS is not set, and weir proxy needs"),
        ("proxy", KAFKA | EDGE | {"WEIR_CONTROL_URL": "http://c"}, "WEIR_EDGE_TOKEN go together"),
        ("control", KAFKA, "weir control needs a Postgres"),
        ("control", POSTGRES, "a Kafka (WEIR_KAFKA_BOOTSTRAP_SERVERS)"),
        ("control", KAFKA | POSTGRES, "WEIR_ENCRYPTION_KEYS is not set, and weir control needs"),
    ],
)
def test_a_role_that_lacks_a_setting_names_it(
    weir: Weir,
    command: str,
    settings: dict[str, str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    code, out, err = weir(command, "--port", "0", "--data-dir", str(tmp_path))
    assert (code, out) == (2, "")
    assert said in err


async def test_a_proxy_that_has_no_configuration_yet_asks_callers_to_come_back(tmp_path: Path) -> None:
    proxy = RoleProcess(
        "proxy",
        tmp_path / "proxy",
        edge_id="edge",
        kafka_bootstrap_servers="127.0.0.1:1",
        kafka_relay_drain_seconds="1",
        encryption_keys=KeyRing.generate_key(),
    )
    try:
        await proxy.start()
        await eventually(proxy.health, "the proxy answers")
        async with httpx2.AsyncClient(base_url=proxy.url) as client:
            answer = await client.post("/llm/call/gpt/v1/chat/completions", json={"model": "m"})
            assert (await client.get("/llms")).status_code == 404
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "configuration_unavailable"
        assert int(answer.headers["retry-after"]) > 0
        assert await proxy.stop() == 0
    finally:
        await proxy.close()


class PlayedTopic(ConfigTopic):
    """Gives what it is told to: revisions, or failures, one list for each time that it is followed."""

    def __init__(self, *lives: Sequence[Snapshot | Exception]) -> None:
        self._lives = list(lives)
        self.ended = asyncio.Event()

    async def follow(self) -> AsyncGenerator[Snapshot, None]:
        if not self._lives:
            self.ended.set()
            await asyncio.Event().wait()
        for item in self._lives.pop(0):
            if isinstance(item, Exception):
                raise item
            yield item


def revision(number: int) -> Snapshot:
    return Snapshot(number, [App(id=1, name=f"as of {number}")])


async def followed(feed: FileConfigFeed, topic: PlayedTopic) -> tuple[ConfigFollower, RecordingLogger]:
    async def no_pause(_seconds: float) -> None:
        await asyncio.sleep(0)

    logger = RecordingLogger()
    follower = ConfigFollower(topic, feed, "", logger, no_pause)
    running = asyncio.create_task(follower.run())
    async with asyncio.timeout(20):
        await topic.ended.wait()
    running.cancel()
    return follower, logger


def feed(directory: Path, keys: KeyRing = KEYS) -> FileConfigFeed:
    return FileConfigFeed(directory, keys, RecordingLogger())


async def test_the_last_revision_is_kept_through_outages_and_restarts(tmp_path: Path) -> None:
    away = LogUnavailableError("no broker")
    follower, logger = await followed(
        feed(tmp_path), PlayedTopic([away, away], [revision(1), revision(2), away])
    )
    assert follower.reason == "no broker"
    assert [event for event, _ in logger.entries if "received" in event] == ["configuration received"] * 2
    restarted = feed(tmp_path).current()
    assert restarted is not None
    assert restarted.objects == revision(2).objects


async def test_a_topic_that_is_read_from_its_beginning_does_not_take_a_proxy_back(tmp_path: Path) -> None:
    feed(tmp_path).publish(revision(5))
    kept = feed(tmp_path)
    await followed(kept, PlayedTopic([revision(4)]))
    current = kept.current()
    assert current is not None
    assert current.revision == 5


@pytest.mark.parametrize("damage", ["another key", "a damaged file"])
async def test_what_was_kept_and_cannot_be_read_is_told_and_had_anew(tmp_path: Path, damage: str) -> None:
    feed(tmp_path, KeyRing([bytes(range(32))]) if damage == "another key" else KEYS).publish(revision(5))
    if damage == "a damaged file":
        [file] = tmp_path.iterdir()
        file.write_bytes(file.read_bytes()[:-1])
    reader = feed(tmp_path)
    assert reader.current() is None
    assert "WEIR_ENCRYPTION_KEYS" in reader.reason or "damaged" in reader.reason
    await followed(reader, PlayedTopic([revision(5)]))
    current = reader.current()
    assert current is not None
    assert (current.revision, reader.reason) == (5, "")


@pytest.mark.parametrize(("is_public", "expected"), [(False, [200, 299, 299]), (True, [404, 404, 404])])
async def test_metrics_and_the_reference_of_control_are_for_its_own_machine(
    is_public: bool, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)

    async def management(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = ControlApp(management, CollectorRegistry(), is_public=is_public)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://weir") as client:
        answers = [await client.get(path) for path in ("/metrics", "/docs", "/openapi.json")]
        assert (await client.get("/api/v1/llms")).status_code == 299
    assert [answer.status_code for answer in answers] == expected
