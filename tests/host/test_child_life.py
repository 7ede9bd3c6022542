"""A plugin's process while it serves: how it is lost, found silent, changed and stopped."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.host.programs import (
    LONG,
    WIRE_PLUGIN,
    a_plugin,
    answer_of,
    children,
    group_of,
    is_there,
    keepers,
    sockets_left,
    until,
)

from weir_core.snapshot import Snapshot
from weir_host.calls import CallInfo
from weir_host.errors import (
    PluginCallError,
    PluginLostError,
    PluginNotReadyError,
    PluginTimeoutError,
    PluginTooLargeError,
)
from weir_host.host import PluginHost
from weir_host.invoke import call_with_deadline
from weir_host.limits import HostLimits
from weir_sdk.testing import RecordingLogger, make_proxy_log, make_request

MIB = 1024 * 1024

HostOf = Callable[..., PluginHost]
ProgramOf = Callable[..., str]

pytestmark = pytest.mark.usefixtures("own_temp_dir")


async def until_restarted(host: PluginHost, times: int = 1) -> None:
    await until(lambda: host.states()[1].restarts >= times and host.states()[1].state == "ready")


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def pid_of(host: PluginHost, call: CallInfo) -> int:
    return int(await answer_of(host, "pass", call))


class TestLosing:
    @pytest.mark.parametrize(
        ("end", "reason"),
        [
            ("os._exit(3)", "ended with exit code 3"),
            ("os.kill(os.getpid(), signal.SIGKILL); time.sleep(60)", "was killed by SIGKILL"),
            ("os.kill(os.getpid(), signal.SIGSEGV); time.sleep(60)", "was killed by SIGSEGV"),
        ],
    )
    async def test_a_call_in_a_crash_fails_at_once_and_the_next_finds_a_new_process(
        self,
        child_host: HostOf,
        program: ProgramOf,
        call: CallInfo,
        logger: RecordingLogger,
        end: str,
        reason: str,
    ) -> None:
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        first = await pid_of(host, call)
        with pytest.raises(PluginLostError, match="'child'"):
            await answer_of(host, end, call)
        await until_restarted(host)
        assert await pid_of(host, call) != first
        assert [line.values["reason"] for line in logger.lines if line.message == "plugin lost"] == [
            f"its process {reason}"
        ]

    async def test_while_it_is_started_anew_calls_are_refused_with_the_reason(
        self, host_of: HostOf, program: ProgramOf, call: CallInfo, sleep: Any, tmp_path: Path
    ) -> None:
        command = program("import os\nif os.path.exists('broken'): os._exit(9)\n" + WIRE_PLUGIN)
        host = host_of()
        await host.apply(Snapshot(1, [a_plugin(command)]), LONG)
        gone = await pid_of(host, call)
        (tmp_path / "plugin.py").write_text("import os; os._exit(9)")
        os.kill(gone, signal.SIGKILL)
        await until(lambda: host.states()[1].state == "starting")
        assert host.states()[1].reason == "its process was killed by SIGKILL; it is started anew"
        with pytest.raises(PluginNotReadyError, match="is starting: its process was killed by SIGKILL"):
            await pid_of(host, call)
        await until(lambda: host.states()[1].state == "failed")
        assert "ended with exit code 9" in host.states()[1].reason
        assert sleep.lengths

    async def test_it_is_ended_before_its_host_when_memory_runs_out(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        mine, its = (
            int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in ("self", await pid_of(host, call))
        )
        assert its == min(mine + 500, 1000)

    async def test_all_calls_in_flight_fail_when_a_descendant_holds_the_connection(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        pid = await pid_of(host, call)
        daemon = int(
            await answer_of(
                host,
                "pid = os.fork()\nif pid == 0:\n    os.setsid()\n    time.sleep(600)\nanswer = str(pid)",
                call,
            )
        )
        hanging = [asyncio.ensure_future(answer_of(host, "time.sleep(600)", call)) for _ in range(5)]
        await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        answers = await asyncio.gather(*hanging, return_exceptions=True)
        os.kill(daemon, signal.SIGKILL)
        assert {type(answer) for answer in answers} == {PluginLostError}

    async def test_pauses_between_crashes_grow(
        self, host_of: HostOf, program: ProgramOf, call: CallInfo, sleep: Any
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        for restart in range(1, 4):
            os.kill(await pid_of(host, call), signal.SIGKILL)
            if restart > 1:
                await sleep.wake_next()
            await until_restarted(host, restart)
        assert sleep.lengths == [1, 2]

    async def test_after_a_long_life_a_crash_is_a_first_one_again(
        self, host_of: HostOf, program: ProgramOf, call: CallInfo, sleep: Any, clock: Any
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        for restart in range(1, 4):
            clock.now_us += 61_000_000
            os.kill(await pid_of(host, call), signal.SIGKILL)
            await until_restarted(host, restart)
        assert sleep.lengths == []

    async def test_one_that_dies_while_its_successor_starts_leaves_it_alone(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host()
        command = program(WIRE_PLUGIN)
        await host.apply(Snapshot(1, [a_plugin(command)]), LONG)
        first = await pid_of(host, call)
        await host.apply(Snapshot(2, [a_plugin(command, generation=2)]), 0)
        os.kill(first, signal.SIGKILL)
        await until_restarted(host)
        assert await pid_of(host, call) != first
        assert len(children() - keepers()) == 1


class TestSilence:
    LIMITS = HostLimits(ping_every_s=0.05, ping_timeout_s=0.2, silent_pings=2, exit_s=1.0, first_retry_s=0.01)

    async def test_a_stopped_process_is_killed_and_started_anew(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host(self.LIMITS)
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        pid = await pid_of(host, call)
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: is_stopped(pid))
        hanging = asyncio.ensure_future(answer_of(host, "pass", call))
        await until(lambda: host.states()[1].state == "degraded")
        assert "has not answered 1 pings" in host.states()[1].reason
        with pytest.raises(PluginNotReadyError, match="did not answer 2 pings in a row"):
            await hanging
        await until_restarted(host)
        assert not is_there(pid)

    async def test_one_that_says_it_is_not_healthy_serves_and_is_degraded(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host(self.LIMITS)
        plugin = a_plugin(program(WIRE_PLUGIN), config={"healthy": "false"})
        await host.apply(Snapshot(1, [plugin]), LONG)
        await until(lambda: host.states()[1].state == "degraded")
        assert host.states()[1].reason == "it says that it is not healthy"
        assert await pid_of(host, call)

    async def test_a_call_past_its_deadline_is_abandoned_until_the_process_has_heard(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host(HostLimits(ping_every_s=0.3, exit_s=1.0, drain_s=1.0))
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        plugin, loop = host.get(1), asyncio.get_running_loop()
        assert plugin is not None
        request = make_request(body=b"time.sleep(600)")
        with pytest.raises(PluginTimeoutError):
            await call_with_deadline(plugin.post_auth(call, request), loop.time() + 0.05, loop)
        assert host.states()[1].abandoned == 1
        await until(lambda: host.states()[1].abandoned == 0)
        assert await pid_of(host, call)


class TestMemory:
    LIMITS = HostLimits(
        memory_bytes=256 * MIB, memory_every_s=0.05, exit_s=1.0, drain_s=1.0, first_retry_s=0.01
    )

    REASON = r"its process had \d+ MiB of memory and was ended: plugin_memory_bytes allows 256 MiB"
    TOO_MUCH = "bytes([1]) * 300_000_000; import time; time.sleep(600)"

    @pytest.mark.parametrize(
        "leak",
        [f"kept = {TOO_MUCH}", f"subprocess.run([sys.executable, '-c', 'kept = {TOO_MUCH}'])"],
        ids=["itself", "what it has started"],
    )
    async def test_a_process_that_has_too_much_is_ended_with_its_own_and_started_anew(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo, leak: str, logger: RecordingLogger
    ) -> None:
        host = child_host(self.LIMITS)
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        first = await pid_of(host, call)
        with pytest.raises(PluginLostError, match=self.REASON):
            await answer_of(host, leak, call)
        await until_restarted(host)
        assert await pid_of(host, call) != first
        await until(lambda: not group_of(first))
        [lost] = [line.values["reason"] for line in logger.lines if line.message == "plugin lost"]
        assert re.fullmatch(self.REASON, lost)

    async def test_one_that_stays_below_is_left_alone(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host(self.LIMITS)
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        first = await pid_of(host, call)
        looks = self.LIMITS.memory_every_s * 10
        assert await answer_of(host, f"time.sleep({looks})", call) == str(first)
        assert host.states()[1].restarts == 0


class TestLimits:
    async def test_a_guard_never_sees_a_request_in_part(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        plugin = host.get(1)
        assert plugin is not None
        with pytest.raises(PluginTooLargeError, match="'child' cannot take the message for handle_post_auth"):
            await plugin.post_auth(call, make_request(body=b"#" * 5_000_000))
        assert await pid_of(host, call)

    async def test_what_cannot_be_written_down_is_a_typed_error(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        call.metadata["half"] = "\ud800"
        with pytest.raises(PluginCallError, match="what handle_post_auth is to be told cannot be written"):
            await answer_of(host, "pass", call)

    async def test_a_collector_sees_it_cut_and_marked(self, child_host: HostOf, program: ProgramOf) -> None:
        host = child_host(hook_types=frozenset({"data_collection"}))
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN), hook_types=("data_collection",))]), LONG)
        plugin = host.get(1)
        assert plugin is not None
        log = make_proxy_log(request_body="a" * 3_000_000, response_body="b" * 3_000_000)
        assert (await plugin.proxy_log(log)).handled

    async def test_a_guard_that_is_declared_and_not_implemented_is_no_guard(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host()
        await host.apply(
            Snapshot(1, [a_plugin(program(WIRE_PLUGIN), hook_types=("post_auth", "auth"))]), LONG
        )
        plugin = host.get(1)
        assert plugin is not None
        with pytest.raises(Exception, match="does not implement handle_auth, though its hook_types say so"):
            await plugin.auth(call, make_request())

    async def test_what_its_handler_raises_is_told(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        with pytest.raises(PluginCallError, match=r"handle_post_auth raised .*no luck") as failure:
            await answer_of(host, "raise ValueError('no luck')", call)
        assert failure.value.retryable


class TestStopping:
    @pytest.mark.parametrize(
        "habit",
        [
            "pass",
            "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            "import subprocess; subprocess.Popen(['sleep', '600'])",
            "import os, time; os.fork() or time.sleep(600)",
        ],
    )
    async def test_nothing_of_it_is_left(
        self,
        child_host: HostOf,
        program: ProgramOf,
        call: CallInfo,
        own_temp_dir: Path,
        habit: str,
    ) -> None:
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(program(f"{habit}\n{WIRE_PLUGIN}"))]), LONG)
        group = await pid_of(host, call)
        await host.close()
        assert children() == set()
        await until(lambda: not any(map(is_there, group_of(group))))
        assert sockets_left(own_temp_dir) == []

    @pytest.mark.parametrize("shutdown", ["time.sleep(600)", "raise ValueError('no')", "os._exit(1)"])
    async def test_one_that_does_not_shut_down_well_is_gone_all_the_same(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo, logger: RecordingLogger, shutdown: str
    ) -> None:
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN), config={"shutdown": shutdown})]), LONG)
        pid = await pid_of(host, call)
        await host.close()
        assert not is_there(pid)
        assert "plugin failed in shutdown" in [line.message for line in logger.lines]

    async def test_a_call_in_flight_ends_on_the_old_one_before_it_stops(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo, tmp_path: Path
    ) -> None:
        host = child_host()
        command = program(WIRE_PLUGIN)
        await host.apply(Snapshot(1, [a_plugin(command)]), LONG)
        old = await pid_of(host, call)
        wait = f"while not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.01)"
        in_flight = asyncio.ensure_future(answer_of(host, wait, call))
        await asyncio.sleep(0)
        await host.apply(Snapshot(2, [a_plugin(command, generation=2)]), LONG)
        assert await pid_of(host, call) != old
        assert is_there(old)
        (tmp_path / "go").touch()
        assert await in_flight == str(old)
        await until(lambda: not is_there(old))

    async def test_a_change_that_cannot_start_leaves_the_old_one_serving(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host()
        command = program(WIRE_PLUGIN)
        await host.apply(Snapshot(1, [a_plugin(command)]), LONG)
        old = await pid_of(host, call)
        changes: list[dict[str, Any]] = [
            {"config": {"refuse": "no key"}},
            {"command": "file:///not/there"},
            {"checksum": "0" * 64},
            {"command": "python://not_there:P"},
        ]
        for change in changes:
            await host.apply(Snapshot(2, [a_plugin(**{"command": command, **change})]), LONG)
            assert host.states()[1].state == "degraded"
            assert await pid_of(host, call) == old
        await host.apply(Snapshot(3, [a_plugin(command)]), LONG)
        assert host.states()[1].state == "ready"
        assert await pid_of(host, call) == old
