"""Background jobs of a role: they end with it, and it ends when one of them fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog

from weir_cli.beside import running_beside
from weir_cli.data_dir import DataDir
from weir_cli.listening import bind_unix
from weir_cli.roles import edge, relay
from weir_cli.roles.context import RoleContext
from weir_cli.stopping import StopSignal
from weir_core.clock import SystemClock
from weir_core.secrets import KeyRing
from weir_core.settings import Settings


async def fails() -> None:
    raise RuntimeError("no more reports")


async def returns() -> None:
    return


async def forever(ended: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()


async def test_a_job_that_fails_ends_the_body_with_its_own_error() -> None:
    ended = asyncio.Event()
    with pytest.raises(RuntimeError, match="no more reports"):
        async with running_beside([fails(), forever(ended)]):
            await asyncio.Event().wait()
    assert ended.is_set()


async def test_a_job_ends_with_the_body() -> None:
    ended = asyncio.Event()
    async with running_beside([forever(ended), returns()]):
        await asyncio.sleep(0)
        assert not ended.is_set()
    assert ended.is_set()


async def test_an_error_of_the_body_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="the work failed"):
        async with running_beside([forever(asyncio.Event())]):
            raise ValueError("the work failed")


async def test_a_cancellation_of_the_body_stays_one() -> None:
    async def role() -> None:
        async with running_beside([forever(asyncio.Event())]):
            await asyncio.Event().wait()

    running = asyncio.create_task(role())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def context(root: Path) -> RoleContext:
    data_dir = DataDir.at(root)
    data_dir.prepare_run()
    return RoleContext(
        name="under test",
        settings=Settings.model_validate({"kafka": {"bootstrap_servers": "127.0.0.1:1"}}),
        data_dir=data_dir,
        keyring=KeyRing([bytes(32)]),
        listeners=(bind_unix(data_dir.internal_socket),),
        clock=SystemClock(),
        logger=structlog.get_logger(),
        stop=StopSignal(),
    )


async def test_the_edge_ends_when_it_can_report_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "pass_on", lambda *_: fails())
    with pytest.raises(RuntimeError, match="no more reports"):
        await edge.run(context(tmp_path))


async def test_the_relay_ends_when_it_can_report_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "report_forever", lambda *_: fails())
    with pytest.raises(RuntimeError, match="no more reports"):
        await relay.run(context(tmp_path))
