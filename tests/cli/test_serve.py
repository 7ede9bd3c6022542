"""``weir serve`` with all its children: the demo, the README's tour, one port, one signal to stop."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.cli.serving import Serving, run_shell, serving
from tests.support.ports import free_port

_Answer = TypeVar("_Answer")
_README = Path(__file__).parents[2] / "README.md"


def commands_of_the_readme(port: int) -> list[str]:
    """Its shell blocks, for another port than the default one."""
    text = _README.read_text(encoding="utf-8").replace("127.0.0.1:3000", f"127.0.0.1:{port}")
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def pasted(greeting: str, start: str, lines: int = 1) -> str:
    found = greeting.splitlines()
    first = next(number for number, line in enumerate(found) if line.startswith(start))
    return "\n".join(found[first : first + lines]) + "\n"


def get(url: str, token: str = "") -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(action: Callable[[], _Answer], enough: Callable[[_Answer], bool]) -> _Answer:
    """Do it again until the answer is right: a change is in force, and a call recorded, a moment later."""
    while not enough(answer := action()):
        pass
    return answer


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Serving]:
    directory = tmp_path_factory.mktemp("demo")
    (directory / ".venv").symlink_to(sys.prefix)
    with serving(directory, "--demo", "--port", str(port)) as running:
        yield running


def test_the_printed_curl_line_works_as_it_stands(demo: Serving) -> None:
    answer = json.loads(run_shell(pasted(demo.greeting, "curl "), demo.directory, {}))
    assert answer["choices"][0]["message"]["role"] == "assistant"


def test_the_printed_python_client_works_as_it_stands(demo: Serving) -> None:
    code = pasted(demo.greeting, "from openai", 5)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mock upstream" in done.stdout


def test_the_printed_urls_answer_and_the_printed_token_manages(demo: Serving, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    token = re.search(r"admin token +(\S+)", demo.greeting)
    assert token is not None
    for path in ("/health", "/ready", "/metrics", "/docs", "/openapi.json"):
        assert get(url + path)[0] == 200, path
    assert get(f"{url}/api/v1/llms", token[1])[0] == 200
    assert get(f"{url}/api/v1/llms")[0] == 401


def test_metrics_are_those_of_all_workers(demo: Serving, port: int) -> None:
    run_shell(pasted(demo.greeting, "curl "), demo.directory, {})
    assert (
        'weir_request_seconds_count{llm="demo",outcome="served"}'
        in get(f"http://127.0.0.1:{port}/metrics")[1]
    )


def test_the_readmes_tour_works_as_it_is_written(demo: Serving, port: int) -> None:
    keys, call, write, register, attach, blocked, logs, analytics = commands_of_the_readme(port)

    def run(command: str) -> Any:
        return json.loads(run_shell(keys + command, demo.directory, {}))

    def records(command: str, count: int) -> list[dict[str, Any]]:
        return until(lambda: run(command)["data"], lambda found: len(found) >= count)

    before = len(run(logs)["data"])
    assert run(call)["choices"]
    run_shell(write, demo.directory, {})
    assert run(register)["data"]["state"] != "failed"
    assert run(attach)["data"]
    refusal = until(lambda: run(blocked), lambda answer: "error" in answer)
    assert refusal["error"]["message"] == "No secrets, please."
    assert run(call)["choices"]
    newest, refused, *_ = records(logs, before + 3)
    assert json.loads(newest["request_body"])["user"] == "app-1"
    assert refused["blocked_by"] == "No secrets"
    assert records(analytics, before + 2)[0]["total_tokens"] > 0


def test_everything_below_the_data_directory_is_for_its_owner_only(demo: Serving) -> None:
    data_dir = demo.directory / "weir-data"
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    for secret in ("demo.json", "encryption-keys", "weir.db"):
        assert stat.S_IMODE((data_dir / secret).stat().st_mode) == 0o600


def test_a_second_gateway_on_the_same_directory_is_refused(demo: Serving) -> None:
    weir = Path(sys.executable).with_name("weir")
    done = subprocess.run(
        [weir, "serve", "--port", "0"], cwd=demo.directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("weir: ")
    assert f"already served by another weir serve (process {demo.process.pid})" in done.stderr


def test_sigterm_ends_it_with_0_and_the_next_start_prints_the_same_again(
    tmp_path: Path,
) -> None:
    flags = ("--demo", "--port", str(free_port()), "--workers", "2")
    with serving(tmp_path, *flags) as first:
        run_shell(pasted(first.greeting, "curl "), tmp_path, {})
        assert first.stop() == 0
    with serving(tmp_path, *flags) as second:
        assert second.greeting == first.greeting
        run_shell(pasted(second.greeting, "curl "), tmp_path, {})
        assert second.stop(signal.SIGINT) == 0
    assert "Traceback" not in second.log()


@pytest.mark.crash
def test_after_the_supervisor_was_killed_the_next_start_serves_the_same_port_at_once(
    tmp_path: Path,
) -> None:
    flags = ("--port", str(free_port()))
    with serving(tmp_path, *flags) as first:
        assert "(shown this once)" in first.greeting
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
    with serving(tmp_path, *flags) as second:
        assert "wt_" not in second.greeting
        assert second.stop() == 0
