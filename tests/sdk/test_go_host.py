"""A served plugin under hashicorp/go-plugin itself, which is what Go gateways host plugins with."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from tests.sdk.conftest import SCRIPTS, environment
from tests.support.servers.availability import server_needed
from tests.support.servers.errors import ServerUnavailableError

from weir_proto import gateway_services_pb2 as services
from weir_proto import plugin_pb2 as pb

SOURCE = Path(__file__).parent / "go_host"


class GoHost:
    """The Go program, one order at a time."""

    def __init__(self, program: Path, tmp: Path) -> None:
        self._process = subprocess.Popen(
            [str(program), str(SCRIPTS / "everything.py")],
            env=environment(TMPDIR=str(tmp)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(tmp / "log").open("wb"),
        )

    def order(self, op: str, body: bytes = b"", method: str = "") -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"op": op, "method": method, "body": base64.b64encode(body).decode()}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return {**answer, "body": base64.b64decode(answer["body"] or "")}

    def call(self, method: str, request: Message) -> dict[str, Any]:
        return self.order("call", request.SerializeToString(), f"/plugin.PluginService/{method}")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, built."""
    if shutil.which("go") is None:
        pytest.skip("Go is not on this machine; it is no part of Weir, only the other side of this wire")
    built = tmp_path_factory.mktemp("go") / "host"
    with server_needed("Go"):
        build(built)
    return built


def build(built: Path) -> None:
    command = ["go", "build", "-o", str(built), "."]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise ServerUnavailableError(done.stderr)


@pytest.fixture
def host(program: Path, tmp_path: Path) -> Iterator[GoHost]:
    made = GoHost(program, tmp_path)
    yield made
    made.close()


@pytest.mark.system
@pytest.mark.timeout(400)
def test_go_plugin_hosts_a_served_plugin_from_handshake_to_kill(host: GoHost, tmp_path: Path) -> None:
    answer = services.GetAppResponse(app=services.AppInfo(id=7, name="from Go")).SerializeToString()
    broker_id = host.order("offer", answer)["id"]
    started = host.call(
        "Initialize", pb.InitRequest(config={"limit": "5", "_service_broker_id": str(broker_id)})
    )
    assert pb.InitResponse.FromString(started["body"]).success

    request = pb.PluginRequest(method="POST", path="/", body=b'{"a":1}', context=pb.PluginContext())
    hooked = host.call("ProcessPostAuth", pb.EnrichedRequest(request=request, user_id="9"))
    assert pb.PluginResponse.FromString(hooked["body"]).body == b'{"a":1,"user":"9"}'

    request.headers["X-Do"] = "app"
    asked = host.call("ProcessPostAuth", pb.EnrichedRequest(request=request))
    assert pb.PluginResponse.FromString(asked["body"]).headers["X-Said"] == "from Go"

    request.headers["X-Do"] = "raise"
    failed = host.call("ProcessPostAuth", pb.EnrichedRequest(request=request))
    assert (failed["code"], failed["error"]) == ("Unknown", "ValueError: boom")

    while b"written past Python in the constructor\n" not in host.order("stdout")["body"]:
        pass
    assert host.order("kill")["exited"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("plugin")] == []
