"""The process: ready when it says so, gone when told, and never left behind."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from weir_cli.mock_upstream.__main__ import main
from weir_cli.mock_upstream.errors import StartError
from weir_cli.mock_upstream.process import DEFAULT_KEY, running

ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def test_it_answers_at_the_url_it_prints_and_is_gone_after_the_block(log: Path) -> None:
    with running(log, openai_key="sk-other", chunks=1) as mock:
        answer = httpx2.post(
            f"{mock.url}/v1/chat/completions", json=ASK, headers={"authorization": "Bearer sk-other"}
        )
        assert answer.json()["choices"][0]["message"]["content"] == "This "
    assert mock.process.poll() is not None
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(mock.url)


def test_a_restart_on_the_same_port_and_ledger_goes_on_where_it_was(log: Path) -> None:
    headers = {"authorization": f"Bearer {DEFAULT_KEY}"}
    with running(log) as mock:
        port = int(mock.url.rpartition(":")[2])
        httpx2.post(f"{mock.url}/v1/chat/completions", json=ASK, headers=headers)
        mock.process.kill()
        mock.process.wait()
    with running(log, port=port) as again:
        assert again.url == mock.url
        httpx2.post(f"{again.url}/v1/chat/completions", json=ASK, headers=headers)
        assert len(again.calls()) == 2


def test_a_start_that_fails_says_so(log: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match="no URL"), running(log, port=port):
            pass


def ask_for_20_seconds(url: str) -> None:
    deadline = time.monotonic() + 20
    with httpx2.Client() as client:
        while time.monotonic() < deadline:
            client.get(url)


def test_it_stops_when_the_process_that_started_it_dies(log: Path) -> None:
    parent = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, pathlib, sys\n"
            "from weir_cli.mock_upstream.process import running\n"
            "with running(pathlib.Path(sys.argv[1])) as mock:\n"
            "    print(mock.url, flush=True)\n"
            "    os._exit(1)\n",
            str(log),
        ],
        stdout=subprocess.PIPE,
        check=False,
    )
    url = parent.stdout.decode().strip()
    with pytest.raises(httpx2.TransportError):
        ask_for_20_seconds(f"{url}/_mock/behaviour")


def test_it_listens_on_a_unix_socket_when_asked(log: Path, tmp_path: Path) -> None:
    path = tmp_path / "mock.sock"
    with (
        running(log, uds=path) as mock,
        httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)), base_url="http://mock") as client,
    ):
        assert mock.url == f"unix:{path}"
        assert client.get("/_mock/behaviour").json()["chunks"] == 12


def test_a_wrong_flag_is_wrong_usage(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--log", str(log), "--chunks", "-1"])
    assert caught.value.code == 2
    assert "chunks" in capsys.readouterr().err
