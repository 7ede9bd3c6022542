"""Programs that become plugins, and programs that do not."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.host.programs import (
    LONG,
    WIRE_PLUGIN,
    a_plugin,
    answer_of,
    children,
    keepers,
    sockets_left,
)

from weir_core.snapshot import Snapshot
from weir_host.calls import CallInfo
from weir_host.host import PluginHost
from weir_host.limits import HostLimits
from weir_sdk.testing import RecordingLogger

HostOf = Callable[..., PluginHost]
ProgramOf = Callable[..., str]


pytestmark = pytest.mark.usefixtures("own_temp_dir")


class TestWhatIsStarted:
    @pytest.mark.parametrize("name", ["plugin.py", "plugin", "my plugin"])
    async def test_a_script_serves(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo, name: str
    ) -> None:
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN, name))]), LONG)
        assert host.states()[1].state == "ready"
        assert int(await answer_of(host, "pass", call)) != os.getpid()

    async def test_a_script_finds_what_a_script_expects(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo, tmp_path: Path
    ) -> None:
        (tmp_path / "beside.py").write_text("WHERE = 'beside'")
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(program("import beside\n" + WIRE_PLUGIN))]), LONG)
        told = await answer_of(
            host,
            "import beside, sys; answer = repr((sys.argv, __name__, __file__, beside.WHERE, sys.path[0]))",
            call,
        )
        path = str(tmp_path / "plugin.py")
        assert told == repr(([path], "__main__", path, "beside", str(tmp_path)))

    async def test_what_it_prints_before_its_handshake_does_no_harm(
        self, child_host: HostOf, program: ProgramOf, logger: RecordingLogger
    ) -> None:
        host = child_host()
        noise = "print('hello', flush=True); print('a|table|of|columns', flush=True)"
        await host.apply(Snapshot(1, [a_plugin(program(f"{noise}\n{WIRE_PLUGIN}"))]), LONG)
        assert host.states()[1].state == "ready"
        assert [line.message for line in logger.lines[:2]] == ["hello", "a|table|of|columns"]

    async def test_a_link_is_followed(self, child_host: HostOf, program: ProgramOf, tmp_path: Path) -> None:
        program(WIRE_PLUGIN)
        (tmp_path / "link").symlink_to(tmp_path / "plugin.py")
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(f"file://{tmp_path}/link")]), LONG)
        assert host.states()[1].state == "ready"

    async def test_its_surroundings_are_its_own(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WEIR_ADMIN_TOKEN", "secret")
        monkeypatch.setenv("WEIR_DATABASE_URL", "secret")
        monkeypatch.setenv("PLUGIN_CLIENT_CERT", "x")
        monkeypatch.setenv("PLUGIN_MULTIPLEX_GRPC", "true")
        monkeypatch.setenv("KEPT", "yes")
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        told = await answer_of(
            host,
            "import json; answer = json.dumps([dict(os.environ), os.getpgid(0), os.getsid(0), os.getpid(),"
            " os.getcwd(), os.readlink('/proc/self/fd/0'),"
            " sorted(os.readlink('/proc/self/fd/' + n) for n in os.listdir('/proc/self/fd')"
            " if os.path.exists('/proc/self/fd/' + n))])",
            call,
        )
        environment, group, session, pid, cwd, stdin, files = json.loads(told)
        assert not [name for name in environment if name.startswith("WEIR_")]
        assert not {"PLUGIN_CLIENT_CERT", "PLUGIN_MULTIPLEX_GRPC"} & environment.keys()
        assert environment["KEPT"] == "yes"
        assert environment["PLUGIN_RUNTIME"] == "gateway"
        assert environment["PLUGIN_PROTOCOL_VERSIONS"] == "1"
        sockets = Path(environment["PLUGIN_UNIX_SOCKET_DIR"])
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert group == session == pid
        assert (cwd, stdin) == (os.getcwd(), os.devnull)
        assert not [name for name in files if name.startswith("/") and not name.startswith("/dev/null")]

    async def test_it_learns_its_configuration_and_its_ids(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo
    ) -> None:
        host = child_host()
        plugin = a_plugin(
            program(WIRE_PLUGIN), config={"size": 1000000, "on": True, "list": [1], "none": None}
        )
        await host.apply(Snapshot(1, [plugin]), LONG)
        config = json.loads(await answer_of(host, "import json; answer = json.dumps(config)", call))
        assert config["size"] == "1000000"
        assert (config["on"], config["list"], config["none"]) == ("true", "[1]", "null")
        assert config["_plugin_id"] == config["plugin_id"] == "1"
        # It has no broker, which may or may not be known before it is told of the service behind one.
        assert config.get("_service_broker_id", "1") == "1"
        assert json.loads(config["_config_json"]) == plugin.config

    async def test_a_checksum_that_fits_starts_exactly_that_file(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo, tmp_path: Path
    ) -> None:
        for name in ("plugin.py", "plugin"):
            command = program(WIRE_PLUGIN, name)
            checksum = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
            for spelled in (checksum, f"sha256:{checksum.upper()}"):
                host = child_host()
                await host.apply(Snapshot(1, [a_plugin(command, checksum=spelled)]), LONG)
                assert host.states()[1].reason == ""
                assert await answer_of(host, "pass", call)


HOSTILE: dict[str, tuple[str, str]] = {
    "says something else": ("print('hello', flush=True)", r"weir_sdk.serve(...)"),
    "says nothing that is a handshake": (
        "import time; print('a|b|c|d|grpc|', flush=True); time.sleep(600)",
        "it was not ready after 0.7 s",
    ),
    "says nothing": ("import time; time.sleep(600)", "it was not ready after 0.7 s"),
    "says a line without an end": (
        "import sys, time\nwhile True: sys.stdout.write('x' * 100000)",
        "it was not ready after 0.7 s",
    ),
    "floods standard error": (
        "import sys\nwhile True: sys.stderr.write('x' * 1000 + '\\n')",
        "it was not ready after 0.7 s",
    ),
    "speaks another core protocol": ("print('2|1|unix|/x|grpc|', flush=True)", "go-plugin protocol 2"),
    "speaks another version": ("print('1|2|unix|/x|grpc|', flush=True)", "application protocol 2"),
    "speaks netrpc": ("print('1|1|unix|/x', flush=True)", "netrpc"),
    "wants tls": ("print('1|1|unix|/x|grpc|MIIB', flush=True)", "insists on TLS"),
    "listens nowhere": ("print('1|1|unix|/nowhere|grpc|', flush=True)", "ended with exit code 0"),
    "listens nowhere and stays": (
        "import time; print('1|1|unix|/nowhere|grpc|', flush=True); time.sleep(600)",
        "it cannot be asked what it is",
    ),
    "exits at once": ("import sys; sys.exit(4)", "its process ended with exit code 4"),
    "cannot import": ("import module_that_is_not_there", "No module named 'module_that_is_not_there'"),
    "is not python": ("def broken(:", "SyntaxError"),
    "closes its standard output": (
        "import os, time; os.close(1); time.sleep(600)",
        "it closed its standard output",
    ),
    "refuses its configuration": (
        WIRE_PLUGIN.replace("self.config = dict(request.config)", 'self.config = {"refuse": "no key"}'),
        "initialize failed: no key",
    ),
    "dies in initialize": (
        WIRE_PLUGIN.replace("self.config = dict(request.config)", "os._exit(5)"),
        "initialize failed: its process ended with exit code 5",
    ),
    "hangs in initialize": (
        WIRE_PLUGIN.replace("self.config = dict(request.config)", "time.sleep(600)"),
        "it was not ready after 0.7 s",
    ),
}


class TestWhatCannotStart:
    @pytest.mark.parametrize("kind", HOSTILE)
    async def test_it_has_failed_says_why_and_is_gone(
        self,
        host_of: HostOf,
        program: ProgramOf,
        own_temp_dir: Path,
        kind: str,
    ) -> None:
        source, reason = HOSTILE[kind]
        start_s = 0.7 if "0.7" in reason else LONG
        host = host_of(limits=HostLimits(start_s=start_s, exit_s=1.0))
        await host.apply(Snapshot(1, [a_plugin(program(source))]), LONG)
        assert host.states()[1].state == "failed"
        assert reason in host.states()[1].reason
        assert sockets_left(own_temp_dir) == []
        assert children() - keepers() == set()

    async def test_a_script_without_a_first_line_says_what_it_lacks(
        self, host_of: HostOf, tmp_path: Path
    ) -> None:
        (tmp_path / "plugin").write_text("print('hello')")
        (tmp_path / "plugin").chmod(0o755)
        host = host_of()
        await host.apply(Snapshot(1, [a_plugin(f"file://{tmp_path}/plugin")]), LONG)
        assert "a script needs a #! line" in host.states()[1].reason

    async def test_one_that_is_given_up_while_it_starts_is_gone(
        self, host_of: HostOf, program: ProgramOf, own_temp_dir: Path
    ) -> None:
        host = host_of()
        await host.apply(Snapshot(1, [a_plugin(program("import time; time.sleep(600)"))]), 0.3)
        assert host.states()[1].state == "starting"
        await host.close()
        assert sockets_left(own_temp_dir) == []
        assert children() == set()


class TestOutput:
    async def test_what_it_prints_is_logged_with_its_level(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo, logger: RecordingLogger
    ) -> None:
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        await answer_of(
            host,
            "import json\n"
            "print('plain', flush=True)\n"
            "print('[WARN] look', file=sys.stderr)\n"
            "print(json.dumps({'@level': 'error', '@message': 'bad', '@timestamp': 'x', 'size': 1}),"
            " file=sys.stderr)\n"
            "print('last', file=sys.stderr, flush=True)",
            call,
        )
        lines = [("info", "plain"), ("warning", "look"), ("error", "bad"), ("info", "last")]
        while len(logger.lines) < 5:
            await asyncio.sleep(0.01)
        seen = {(line.level, line.message): line.values for line in logger.lines}
        assert set(lines) <= seen.keys()
        assert seen["error", "bad"] == {"size": 1, "plugin": "child"}

    async def test_a_plugin_that_prints_without_end_still_answers(
        self, child_host: HostOf, program: ProgramOf, call: CallInfo, logger: RecordingLogger
    ) -> None:
        host = child_host()
        await host.apply(Snapshot(1, [a_plugin(program(WIRE_PLUGIN))]), LONG)
        flood = (
            "def flood():\n"
            "    while True: sys.stderr.write('x' * 1000000 + '\\n' + 'y\\n' * 10000)\n"
            "import sys, threading\n"
            "threading.Thread(target=flood, daemon=True).start()"
        )
        await answer_of(host, flood, call)
        for _ in range(20):
            assert await answer_of(host, "pass", call)
        assert max(len(line.message) for line in logger.lines) < 70_000
        assert len(logger.lines) < 10_000
