"""Configuration through files: sealed, whole, the newest that is good."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.streams.support import RecordingLogger

from weir_core.objects import App, ConfigObject, Credential, Llm, ModelPrice
from weir_core.secrets import KeyRing, Secret
from weir_core.snapshot import Snapshot
from weir_streams.config_feed import FileConfigFeed

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def llm(number: int, namespace: str = "") -> Llm:
    return Llm(
        id=number,
        name=f"llm-{number}",
        slug=f"llm-{number}",
        vendor="openai",
        api_endpoint="https://upstream.test",
        api_key=Secret("sk-very-secret"),
        namespace=namespace,
    )


def snapshot(revision: int, *objects: ConfigObject) -> Snapshot:
    return Snapshot(revision, objects or (llm(1),))


@pytest.fixture
def logger() -> RecordingLogger:
    return RecordingLogger()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "config"


@pytest.fixture
def feed(directory: Path, logger: RecordingLogger) -> FileConfigFeed:
    return FileConfigFeed(directory, KeyRing([KEY]), logger)


def test_without_a_file_there_is_no_configuration(feed: FileConfigFeed) -> None:
    assert feed.current() is None
    assert feed.current("eu") is None
    assert feed.reason == ""


def test_the_newest_revision_is_read_whole(feed: FileConfigFeed) -> None:
    feed.publish(snapshot(1))
    first = feed.current()
    feed.publish(snapshot(2, llm(1), llm(2)))
    second = feed.current()
    assert first is not None
    assert second is not None
    assert (first.revision, sorted(first.llms)) == (1, [1])
    assert (second.revision, sorted(second.llms)) == (2, [1, 2])
    assert second.llms[1] == llm(1)


def test_an_unchanged_file_is_not_read_again(feed: FileConfigFeed) -> None:
    feed.publish(snapshot(1))
    assert feed.current() is feed.current()


def test_no_secret_stands_in_a_file_and_nobody_else_may_read_it(
    feed: FileConfigFeed, directory: Path
) -> None:
    feed.publish(snapshot(1))
    (path,) = directory.iterdir()
    assert b"secret" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0


def test_a_namespace_sees_its_own_objects_and_those_without_one(feed: FileConfigFeed) -> None:
    objects: list[ConfigObject] = [
        llm(1),
        llm(2, "eu"),
        llm(3, "us"),
        App(id=1, name="a", namespace="eu"),
        Credential(id=1, app_id=1, key_id="k", secret_hash=b"h"),
        ModelPrice(id=1, vendor="openai", model="*"),
    ]
    feed.publish(Snapshot(5, objects))
    assert {name: sorted(seen.llms) for name in ("", "eu", "us", "asia") if (seen := feed.current(name))} == {
        "": [1],
        "eu": [1, 2],
        "us": [1, 3],
        "asia": [1],
    }
    assert {name: len(seen.credentials) for name in ("", "eu") if (seen := feed.current(name))} == {
        "": 0,
        "eu": 1,
    }


def test_a_namespace_whose_last_object_is_gone_sees_what_has_none(feed: FileConfigFeed) -> None:
    feed.publish(snapshot(1, llm(1), llm(2, "eu")))
    assert feed.current("eu")
    feed.publish(snapshot(2, llm(1)))
    seen = feed.current("eu")
    assert seen is not None
    assert (seen.revision, sorted(seen.llms)) == (2, [1])


@pytest.mark.parametrize("namespace", ["_", "..", "a/b", "%5F", "ünï"])
def test_any_text_is_a_namespace(feed: FileConfigFeed, directory: Path, namespace: str) -> None:
    feed.publish(snapshot(1, llm(1), llm(2, namespace)))
    seen, without = feed.current(namespace), feed.current()
    assert seen is not None
    assert without is not None
    assert (sorted(seen.llms), sorted(without.llms)) == ([1, 2], [1])
    assert len(list(directory.iterdir())) == 2


@pytest.mark.parametrize("damage", ["half", "rot", "empty", "short", "other key", "swapped"])
def test_a_file_that_cannot_be_read_leaves_the_last_good_revision(
    feed: FileConfigFeed, directory: Path, logger: RecordingLogger, damage: str
) -> None:
    feed.publish(snapshot(1, llm(1), llm(2, "eu")))
    assert feed.current()
    path = directory / "_.snapshot"
    whole = path.read_bytes()
    if damage == "other key":
        FileConfigFeed(directory, KeyRing([OTHER_KEY]), logger).publish(snapshot(2))
    else:
        path.write_bytes(
            {
                "half": whole[: len(whole) // 2],
                "rot": whole[:-5] + b"rotte",
                "empty": b"",
                "short": whole[:7],
                "swapped": (directory / "eu.snapshot").read_bytes(),
            }[damage]
        )
    for _ in range(3):
        seen = feed.current()
        assert seen is not None
        assert seen.revision == 1
    assert "_.snapshot" in feed.reason
    assert len(logger.entries) == 1
    feed.publish(snapshot(3))
    mended = feed.current()
    assert mended is not None
    assert (mended.revision, feed.reason) == (3, "")


def test_a_first_file_that_cannot_be_read_is_no_configuration_and_says_why(
    feed: FileConfigFeed, directory: Path
) -> None:
    directory.mkdir()
    (directory / "_.snapshot").write_bytes(b"rubbish")
    assert feed.current() is None
    assert "WEIR_ENCRYPTION_KEYS" in feed.reason


def test_a_rotated_key_still_opens_what_it_sealed(
    feed: FileConfigFeed, directory: Path, logger: RecordingLogger
) -> None:
    feed.publish(snapshot(1))
    assert FileConfigFeed(directory, KeyRing([OTHER_KEY, KEY]), logger).current()


async def test_a_newer_revision_is_waited_for(directory: Path, logger: RecordingLogger) -> None:
    control = FileConfigFeed(directory, KeyRing([KEY]), logger)
    proxy = FileConfigFeed(directory, KeyRing([KEY]), logger)
    waiting = asyncio.create_task(proxy.wait_newer(0))
    control.publish(snapshot(1))
    assert (await waiting).revision == 1
    assert (await proxy.wait_newer(0)).revision == 1
    waiting = asyncio.create_task(proxy.wait_newer(1))
    control.publish(snapshot(2))
    assert (await waiting).revision == 2


async def test_an_older_revision_is_not_newer(feed: FileConfigFeed) -> None:
    feed.publish(snapshot(5))
    waiting = asyncio.create_task(feed.wait_newer(5))
    feed.publish(snapshot(4))
    feed.current()
    await asyncio.sleep(0)
    assert not waiting.done()
    feed.publish(snapshot(6))
    assert (await waiting).revision == 6
