"""The supervisor with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from weir_cli.data_dir import DataDirLock
from weir_cli.processes import spawn
from weir_cli.stopping import StopSignal
from weir_cli.supervisor import ChildPlan, Supervisor
from weir_core.clock import SystemClock


class Supervised:
    def __init__(self, plans: list[ChildPlan], logger: Any) -> None:
        self.stop = StopSignal()
        supervisor = Supervisor(plans, spawn=spawn, clock=SystemClock(), logger=logger)
        self.task = asyncio.create_task(supervisor.run(self.stop))

    async def end(self) -> list[str]:
        self.stop.request()
        return await self.task


@pytest.fixture
async def supervise(logger: Any) -> AsyncIterator[Any]:
    begun: list[Supervised] = []

    def begin(*plans: ChildPlan) -> Supervised:
        begun.append(Supervised(list(plans), logger))
        return begun[-1]

    yield begin
    for supervised in begun:
        supervised.stop.request()
        supervised.stop.request()
        await supervised.task


async def test_a_child_runs_its_role_on_uvloop_with_the_settings_of_its_supervisor(
    children: Any, supervise: Any, until: Any
) -> None:
    supervised = supervise(children.plan("waiting"))
    told = await until(lambda: children.told("waiting"))
    assert told["uvloop"] == "uvloop"
    assert told["data_dir"] == str(children.data_dir.root)
    assert told["settings"]["port"] == 3000
    assert await supervised.end() == []
    assert (children.data_dir.root / "waiting.stopped").exists()


async def test_secrets_and_settings_stay_out_of_a_childs_environment_and_standard_input(
    children: Any, supervise: Any, until: Any
) -> None:
    supervise(children.plan("waiting"))
    told = await until(lambda: children.told("waiting"))
    assert not [name for name in told["environment"] if name.startswith("WEIR_")]
    assert "not for children" not in str(told)
    assert told["standard_input"] == ""


async def test_a_child_has_a_process_group_of_its_own_so_that_ctrl_c_reaches_only_the_supervisor(
    children: Any, supervise: Any, until: Any
) -> None:
    supervise(children.plan("waiting"))
    told = await until(lambda: children.told("waiting"))
    assert told["group"] == told["pid"] != os.getpgrp()


@pytest.mark.crash
async def test_a_killed_child_is_replaced_while_connections_wait_in_the_queue(
    children: Any, supervise: Any, until: Any
) -> None:
    supervise(children.plan("answering"))
    first = (await until(lambda: children.told("answering")))["pid"]
    assert await _ask(children.listener) == first
    os.kill(first, signal.SIGKILL)
    second = await _ask(children.listener)
    assert second != first


async def test_a_role_that_fails_is_logged_by_the_child_and_restarted(
    children: Any, supervise: Any, until: Any, log: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    supervise(children.plan("failing"))
    await until(lambda: [call for call in log.calls if call.method_name == "error"])
    ended = next(call for call in log.calls if call.method_name == "error")
    assert (ended.kwargs["child"], ended.kwargs["ending"]) == ("failing", "exit code 1")
    assert "RuntimeError: this role cannot work" in capfd.readouterr().err


async def test_what_a_plugin_prints_goes_to_the_log_and_not_to_standard_output(
    children: Any, supervise: Any, until: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    supervised = supervise(children.plan("waiting"))
    await until(lambda: children.told("waiting"))
    await supervised.end()
    written = capfd.readouterr()
    assert "a plugin prints" in written.err
    assert "role=waiting" in written.err
    assert written.out == ""


@pytest.mark.crash
async def test_a_child_that_never_gives_its_loop_back_is_killed_after_its_grace(
    children: Any, supervise: Any, until: Any
) -> None:
    supervised = supervise(children.plan("blocked", grace_s=0.1))
    await until(lambda: children.told("blocked"))
    assert await supervised.end() == ["blocked ended with signal 9"]


@pytest.mark.crash
@pytest.mark.parametrize("role", ["waiting", "stubborn", "blocked"])
async def test_children_die_with_a_killed_supervisor_before_another_may_begin(
    role: str, children: Any, until: Any
) -> None:
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, Path(__file__).with_name("supervising.py"), children.data_dir.root, role
    )
    child = (await until(lambda: children.told(role)))["pid"]
    supervisor.kill()
    await supervisor.wait()
    lock = await DataDirLock.take(children.data_dir)
    await until(lambda: _is_gone(child))
    lock.release()


async def _ask(listener: Any) -> int:
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    answer = await reader.read()
    writer.close()
    return int(answer)


def _is_gone(pid: int) -> bool:
    """Ended, whether or not anybody has collected it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"
