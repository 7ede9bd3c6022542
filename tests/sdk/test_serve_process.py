"""A plugin's script as a process: how it starts, what it prints, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from google.protobuf.empty_pb2 import Empty
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.sdk.conftest import SCRIPTS, Serve, environment

from weir_proto import plugin_pb2 as pb
from weir_proto.plugin_pb2_grpc import PluginServiceStub


def started_alone(script: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPTS / script)],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def gone(path: Path) -> bool:
    return not path.exists() and not path.parent.exists()


async def until_no_process(pid: int) -> None:
    """Wait for the end of a process that is not a child of ours."""
    while True:
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except FileNotFoundError:
            return
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("cookie", ["", "v2"])
def test_by_hand_it_says_what_it_is_and_exits_with_1(cookie: str) -> None:
    done = started_alone("bare.py", AI_STUDIO_PLUGIN=cookie)
    assert (done.returncode, done.stdout) == (1, "")
    assert "plugin for an LLM gateway" in done.stderr


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("fails", "make() failed: RuntimeError: no licence"),
        ("no plugin", "derive it from weir_sdk.BasePlugin"),
    ],
)
def test_a_plugin_that_cannot_be_made_says_why_and_exits_with_1(how: str, why: str) -> None:
    done = started_alone("bare.py", BARE=how)
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr.splitlines()[-1]


def test_a_directory_too_long_for_a_socket_is_passed_over(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    process = subprocess.Popen(
        [str(SCRIPTS / "bare.py")], env=environment(TMPDIR=str(deep)), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    path = Path(process.stdout.readline().split("|")[3])
    process.terminate()
    assert process.wait() == 0
    assert len(str(path)) < 108
    assert gone(path)


async def test_its_first_line_is_the_handshake_whatever_was_printed_before(serve: Serve) -> None:
    served = await serve("everything.py")
    assert served.line == f"1|1|unix|{served.socket}|grpc|\n"
    text = await served.printed("written past Python in the constructor\n")
    assert "printed while the script was imported\nprinted in the constructor\n" in text


async def test_the_stream_of_what_it_prints_ends_with_it_in_good_order(serve: Serve) -> None:
    served = await serve("everything.py")
    stream = served.stdio.StreamStdio(Empty())
    assert await stream.read() is not aio.EOF
    await served.stop()
    while await stream.read() is not aio.EOF:
        pass
    assert (await stream.code()).name == "OK"
    assert served.process.stderr is not None
    assert b"Traceback" not in await served.process.stderr.read()


async def test_its_socket_is_for_its_own_user_only(serve: Serve, tmp_path: Path) -> None:
    served = await serve("bare.py")
    assert served.socket.parent.parent == tmp_path
    assert served.socket.parent.stat().st_mode & 0o077 == 0


async def test_a_hosts_own_directory_is_used_as_it_is(serve: Serve, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    served = await serve("bare.py", PLUGIN_UNIX_SOCKET_DIR=str(private))
    assert served.socket.parent == private
    await served.stop()
    assert list(private.iterdir()) == []


async def test_a_directory_that_others_can_enter_gets_one_of_its_own(serve: Serve, tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    served = await serve("bare.py", PLUGIN_UNIX_SOCKET_DIR=str(open_to_all))
    assert served.socket.parent.parent == open_to_all


async def test_go_plugins_health_check_finds_it_serving(serve: Serve) -> None:
    served = await serve("bare.py")
    health = health_pb2_grpc.HealthStub(served.channel)
    for name in ("", "plugin"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(aio.AioRpcError) as failed:
        await health.Check(health_pb2.HealthCheckRequest(service="other"))
    assert failed.value.code().name == "NOT_FOUND"


async def test_printing_never_blocks_although_nobody_reads(serve: Serve) -> None:
    served = await serve("everything.py")
    await served.initialize()
    asked = pb.EnrichedRequest(request=pb.PluginRequest(method="POST", path="/", headers={"X-Do": "print"}))
    for _ in range(5):
        await served.plugin.ProcessPostAuth(asked)
    text = await served.printed("x\n")
    assert text.endswith("x" * 1000 + "\n")
    assert len(text) <= 256 * 1024
    assert "on standard error" in await served.logged("on standard error")


async def test_its_log_is_hclogs_json_on_standard_error(serve: Serve) -> None:
    served = await serve("everything.py")
    await served.initialize()
    asked = pb.EnrichedRequest(request=pb.PluginRequest(method="POST", path="/", headers={"X-Do": "log"}))
    await served.plugin.ProcessPostAuth(asked)
    line = json.loads((await served.logged("watch out")).splitlines()[-1])
    assert (line["@level"], line["@message"], line["@module"], line["count"]) == (
        "warn",
        "watch out",
        "everything",
        3,
    )
    assert "Everything" in line["who"]


async def test_the_hosts_last_word_ends_it_at_once_with_0_and_removes_its_socket(serve: Serve) -> None:
    served = await serve("everything.py")
    await served.initialize()
    sessions = asyncio.ensure_future(served.plugin.OpenSession(pb.OpenSessionRequest()))
    await served.plugin.Ping(pb.PingRequest())
    await served.stop()
    assert served.process.returncode == 0
    assert gone(served.socket)
    with pytest.raises(aio.AioRpcError):
        await sessions


@pytest.mark.parametrize("way", ["controller", "sigterm"])
async def test_it_shuts_down_before_it_ends_if_nobody_has_asked_for_that(
    serve: Serve, tmp_path: Path, way: str
) -> None:
    served = await serve("everything.py")
    note = tmp_path / "note"
    await served.initialize(write_at_shutdown=str(note))
    if way == "sigterm":
        served.process.terminate()
    await served.stop()
    assert (served.process.returncode, note.read_text()) == (0, "shut down\n")


async def test_it_shuts_down_once(serve: Serve, tmp_path: Path) -> None:
    served = await serve("everything.py")
    note = tmp_path / "note"
    await served.initialize(write_at_shutdown=str(note))
    assert (await served.plugin.Shutdown(pb.ShutdownRequest(timeout_seconds=5))).success
    assert (await served.plugin.Ping(pb.PingRequest())).healthy
    await served.stop()
    assert note.read_text() == "shut down\n"


async def test_nothing_that_hangs_keeps_it(serve: Serve) -> None:
    served = await serve("bare.py", BARE="never ends")
    await served.initialize()
    await served.stop()
    assert served.process.returncode == 0
    assert gone(served.socket)


async def test_it_ignores_sigint_and_obeys_sigterm(serve: Serve) -> None:
    served = await serve("bare.py")
    served.process.send_signal(signal.SIGINT)
    assert (await served.plugin.Ping(pb.PingRequest())).healthy
    served.process.terminate()
    assert await served.process.wait() == 0
    assert gone(served.socket)


async def test_being_told_to_end_again_and_again_changes_nothing(serve: Serve) -> None:
    served = await serve("bare.py")
    served.process.terminate()
    while served.process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(served.process.pid, signal.SIGTERM)  # terminate() would take its exit code from asyncio
        await asyncio.sleep(0)
    assert served.process.returncode == 0
    assert gone(served.socket)


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.argv[1]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline().decode(), flush=True)
child.wait()
"""


@pytest.fixture
async def parent(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process with a plugin as its child; says the child's id and handshake in its first line."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(SCRIPTS / "everything.py")),
        env=environment(TMPDIR=str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    yield process
    with suppress(ProcessLookupError):
        process.kill()
    await process.communicate()


async def child_of(parent: asyncio.subprocess.Process) -> tuple[int, Path]:
    assert parent.stdout is not None
    pid, line = (await parent.stdout.readline()).decode().split(maxsplit=1)
    return int(pid), Path(line.split("|")[3])


@pytest.mark.crash
async def test_it_goes_when_its_parent_is_killed(parent: asyncio.subprocess.Process) -> None:
    pid, path = await child_of(parent)
    parent.kill()
    await until_no_process(pid)
    assert gone(path)


@pytest.mark.crash
async def test_a_handler_that_blocks_its_loop_does_not_keep_it_then(
    parent: asyncio.subprocess.Process,
) -> None:
    pid, path = await child_of(parent)
    async with aio.insecure_channel(f"unix:{path}") as channel:
        plugin = PluginServiceStub(channel)  # type: ignore[no-untyped-call]
        await plugin.Initialize(pb.InitRequest())
        asked = pb.PluginRequest(method="POST", path="/", headers={"X-Do": "block the loop"})
        blocked = asyncio.ensure_future(plugin.ProcessPostAuth(pb.EnrichedRequest(request=asked)))
        assert parent.stderr is not None
        assert await parent.stderr.readline() == b"blocking the loop\n"
        parent.kill()
        await until_no_process(pid)
        with pytest.raises(aio.AioRpcError):
            await blocked
    assert gone(path)


async def test_the_end_of_the_thread_that_started_it_is_not_its_own(serve: Serve) -> None:
    served = await serve("bare.py")
    os.kill(served.process.pid, signal.SIGRTMIN)
    assert (await served.plugin.Ping(pb.PingRequest())).healthy


def test_the_sdk_is_imported_without_grpc() -> None:
    program = "import weir_sdk, sys; print([name for name in ('grpc', 'google.protobuf', 'asyncio') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
