"""``weir keys rotate`` as an operator meets it, and as a kill at any moment leaves it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select
from tests.cli.conftest import Weir

from weir_cli import keys_file, keys_rotation
from weir_cli.admin import open_store
from weir_cli.data_dir import DataDir
from weir_cli.keys_file import KeyFile
from weir_cli.keys_sealed import sealed_values
from weir_cli.main import main
from weir_collectors.database import create_engine, reading
from weir_control.store.sealing import seal_override, set_api_key, set_config
from weir_control.store.tables import attachments, llms, plugins
from weir_core.secrets import KeyRing, fingerprint_of
from weir_core.settings import Settings
from weir_core.snapshot import Snapshot
from weir_streams import config_feed
from weir_streams.config_feed import FileConfigFeed

MOST_STEPS = 40
LLM = {
    "id": 1,
    "name": "gpt",
    "slug": "gpt",
    "vendor": "openai",
    "api_endpoint": "https://example.com",
    "allowed_models": [],
    "is_active": True,
    "timeout_seconds": 30,
    "body_capture": "full",
    "namespace": "",
    "metadata": {},
    "revision": 1,
    "created_at_us": 1,
    "updated_at_us": 1,
}
PLUGIN = {
    "id": 2,
    "name": "watcher",
    "slug": "watcher",
    "description": "",
    "command": "python://a:B",
    "collector": {},
    "service_scopes": [],
    "is_active": True,
    "runtime": "gateway",
    "required_for_ready": False,
    "namespace": "",
    "probe_ok": True,
    "probe_reason": "",
    "probe_hooks": [],
    "probed_at_us": 1,
    "generation": 1,
    "revision": 1,
    "created_at_us": 1,
    "updated_at_us": 1,
}
ATTACHMENT = {
    "llm_id": 1,
    "plugin_id": 2,
    "position": 0,
    "timeout_ms": 1000,
    "stream_mode": "off",
    "response_headers": [],
}


class Installation:
    """A data directory with one secret of each kind and a published revision."""

    def __init__(self, root: Path) -> None:
        self.data_dir = DataDir(root)
        self.key_file = KeyFile(self.data_dir.encryption_keys)

    @property
    def keyring(self) -> KeyRing:
        return KeyRing.from_text(",".join(self.key_file.keys))

    async def fill(self) -> None:
        text = ",".join(self.key_file.keys)
        async with open_store(Settings(), self.data_dir, text) as store, store.writing() as connection:
            await connection.execute(insert(llms).values(LLM))
            await connection.execute(insert(plugins).values(PLUGIN))
            override = seal_override(store.keyring, 1, 2, {"password": "b"})
            await connection.execute(
                insert(attachments).values(ATTACHMENT | {"config_override_sealed": override})
            )
            await set_api_key(connection, store.keyring, 1, "sk-1")
            await set_config(connection, store.keyring, 2, {"password": "a"})
        self.publish()

    def publish(self) -> None:
        FileConfigFeed(self.data_dir.config, self.keyring, _Silent()).publish(Snapshot(7))

    async def opened(self, keyring: KeyRing) -> list[bytes]:
        """Everything that is sealed, opened; raises when something cannot be."""
        engine = create_engine(f"sqlite:///{self.data_dir.database}")
        async with reading(engine) as connection:
            values = await sealed_values(connection)
        await engine.dispose()
        snapshot = FileConfigFeed(self.data_dir.config, keyring, _Silent()).current()
        assert snapshot is not None
        assert snapshot.revision == 7
        return [keyring.open(one.sealed, one.context) for one in values]

    async def seals(self) -> set[bytes]:
        """The fingerprints of all keys that something is sealed with."""
        engine = create_engine(f"sqlite:///{self.data_dir.database}")
        async with reading(engine) as connection:
            values = [one.sealed for one in await sealed_values(connection)]
        await engine.dispose()
        files = [path.read_bytes() for path in self.data_dir.config.glob("*.snapshot")]
        return {fingerprint_of(sealed) for sealed in [*values, *files]}


class _Silent:
    def info(self, event: str, **fields: object) -> None:
        raise AssertionError(f"{event} {fields}")

    warning = error = info


@pytest.fixture
def installation(weir: Weir, tmp_path: Path) -> Installation:
    weir("db", "upgrade")
    made = Installation(tmp_path / "weir-data")
    asyncio.run(made.fill())
    return made


def test_three_steps_leave_everything_sealed_with_the_new_key_alone(
    weir: Weir, installation: Installation
) -> None:
    (old,) = installation.key_file.keys
    before = asyncio.run(installation.opened(installation.keyring))
    for step in ("--add", "--reseal", "--retire"):
        code, out, err = weir("keys", "rotate", step)
        assert code == 0, out + err
    (new,) = installation.key_file.keys
    assert new != old
    assert asyncio.run(installation.opened(KeyRing.from_text(new))) == before
    assert len(before) == 3
    assert "No rotation is under way" in weir("keys", "rotate")[1]


def test_a_process_that_was_not_restarted_can_open_everything_until_the_old_key_is_retired(
    weir: Weir, installation: Installation
) -> None:
    begun_before = installation.keyring
    weir("keys", "rotate", "--add")
    asyncio.run(installation.opened(begun_before))
    restarted_once = installation.keyring
    weir("keys", "rotate", "--reseal")
    asyncio.run(installation.opened(restarted_once))
    restarted_twice = installation.keyring
    weir("keys", "rotate", "--retire")
    asyncio.run(installation.opened(restarted_twice))


def test_what_a_process_sealed_with_the_old_key_meanwhile_is_sealed_anew_before_that_key_goes(
    weir: Weir, installation: Installation
) -> None:
    weir("keys", "rotate", "--add")
    text = ",".join(installation.key_file.keys)
    weir("keys", "rotate", "--reseal")

    async def change() -> None:
        async with open_store(Settings(), installation.data_dir, text) as store, store.writing() as writing:
            await set_api_key(writing, store.keyring, 1, "sk-2")

    asyncio.run(change())
    assert weir("keys", "rotate", "--retire")[0] == 0
    assert b"sk-2" in asyncio.run(installation.opened(installation.keyring))


def test_steps_out_of_turn_change_nothing(weir: Weir, installation: Installation) -> None:
    keys = installation.key_file.keys
    assert weir("keys", "rotate", "--reseal")[0] == 1
    weir("keys", "rotate", "--add")
    both = installation.key_file.keys
    assert both[0] == keys[0]
    assert weir("keys", "rotate", "--add")[0] == 1
    assert weir("keys", "rotate", "--retire")[0] == 1
    assert installation.key_file.keys == both


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells which processes run")
def test_a_process_that_began_before_the_keys_changed_stops_the_next_step(
    weir: Weir, installation: Installation
) -> None:
    weir("keys", "rotate", "--add")
    fd = os.open(installation.data_dir.lock, os.O_RDWR | os.O_CREAT)
    child = os.fork()
    if not child:
        signal.pause()
    try:
        long_ahead_s = installation.key_file.path.stat().st_mtime + 3600
        os.utime(installation.key_file.path, (long_ahead_s, long_ahead_s))
        code, _, err = weir("keys", "rotate", "--reseal")
        assert code == 1
        assert "restart" in err
        os.utime(installation.key_file.path, (1, 1))
        assert weir("keys", "rotate", "--reseal")[0] == 0
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(fd)


def test_a_secret_that_no_key_opens_is_named_and_keeps_the_old_key(
    weir: Weir, installation: Installation
) -> None:
    async def damage() -> None:
        engine = create_engine(f"sqlite:///{installation.data_dir.database}")
        async with engine.begin() as connection:
            sealed = (await connection.execute(select(llms.c.api_key_sealed))).scalar_one()
            await connection.execute(llms.update().values(api_key_sealed=sealed[:-1]))
        await engine.dispose()

    asyncio.run(damage())
    weir("keys", "rotate", "--add")
    code, _, err = weir("keys", "rotate", "--reseal")
    assert code == 1
    assert "llm 1 api_key" in err
    assert weir("keys", "rotate", "--retire")[0] == 1
    assert len(installation.key_file.keys) == 2


def test_keys_of_the_environment_are_never_written_but_told(
    weir: Weir, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old,) = installation.key_file.keys
    monkeypatch.setenv("WEIR_ENCRYPTION_KEYS", old)
    _, out, _ = weir("keys", "rotate", "--add")
    known, used = [line for line in out.splitlines() if line.startswith("WEIR_ENCRYPTION_KEYS=")]
    assert known.startswith(f"WEIR_ENCRYPTION_KEYS={old},")
    assert used.endswith(f",{old}")
    monkeypatch.setenv("WEIR_ENCRYPTION_KEYS", used.partition("=")[2])
    assert weir("keys", "rotate", "--reseal")[0] == 0
    _, out, _ = weir("keys", "rotate", "--retire")
    new = out.splitlines()[-1].partition("=")[2]
    assert new == used.partition("=")[2].split(",")[0]
    asyncio.run(installation.opened(KeyRing.from_text(new)))
    assert installation.key_file.keys == [old]


@pytest.mark.parametrize("step", ["--add", "--reseal", "--retire"])
def test_killed_before_any_of_its_writes_a_step_leaves_all_readable_and_is_begun_again(
    weir: Weir, installation: Installation, step: str
) -> None:
    for earlier in ("--add", "--reseal", "--retire")[: ("--add", "--reseal", "--retire").index(step)]:
        weir("keys", "rotate", earlier)
    for survived in range(MOST_STEPS):
        code = _run_and_kill(survived, step)
        asyncio.run(installation.opened(installation.keyring))
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert survived > 0
    for later in ("--reseal", "--retire"):
        weir("keys", "rotate", later)
    (new,) = installation.key_file.keys
    assert asyncio.run(installation.seals()) == {KeyRing.from_text(new).fingerprints[0]}


def _run_and_kill(survived: int, step: str) -> int:
    """Run a step in a process that is killed before its write number ``survived``, counted from 0."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = survived

    def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return function(*args, **options)

        return counted

    code = 1
    try:
        for module, name in (
            (keys_file, "write_private"),
            (keys_rotation, "reseal"),
            (config_feed, "replace_file"),
            (Path, "unlink"),
        ):
            setattr(module, name, deadly(getattr(module, name)))
        sys.argv = ["weir", "keys", "rotate", step]
        main()
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    finally:
        os._exit(code)
