from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

from rich.console import Console

from weir_cli.greeting import Greeting, curl_line, print_greeting, python_client

_URL = "http://127.0.0.1:3000"
_SECRET = "wk_0123456789abcdef_" + "x" * 43


def printed(greeting: Greeting, **options: object) -> str:
    stream = io.StringIO()
    print_greeting(Console(file=stream, width=60, **options), greeting)  # type: ignore[arg-type]
    return stream.getvalue()


def greeting(**fields: object) -> Greeting:
    values = {"version": "1.2", "url": _URL, "data_dir": Path("/var/lib/weir"), "admin_token": "wt_a_b"}
    values["admin_url"] = _URL
    return Greeting(**(values | fields))  # type: ignore[arg-type]


def test_it_says_where_weir_listens_where_its_data_is_and_how_to_administer_it() -> None:
    text = printed(greeting())
    for fact in (f"{_URL}/api/v1", f"{_URL}/docs", f"{_URL}/metrics", "/var/lib/weir", "wt_a_b"):
        assert fact in text
    assert "curl" not in text


def test_metrics_and_docs_are_named_where_they_are_served_or_how_to_have_them() -> None:
    apart = printed(greeting(admin_url="http://127.0.0.1:9464"))
    assert "http://127.0.0.1:9464/metrics" in apart
    assert f"{_URL}/docs" not in apart
    nowhere = printed(greeting(admin_url=None))
    assert "/metrics" not in nowhere
    assert "WEIR_ADMIN_PORT" in nowhere


def test_the_demos_calls_stand_each_on_lines_of_their_own_and_unwrapped_on_a_narrow_terminal() -> None:
    lines = printed(greeting(demo_secret=_SECRET), force_terminal=True, no_color=True).splitlines()
    plain = [line.replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[2m", "") for line in lines]
    assert curl_line(_URL, _SECRET) in plain
    start = plain.index("from openai import OpenAI")
    assert plain[start : start + 5] == python_client(_URL, _SECRET).splitlines()


def test_the_curl_line_is_one_shell_command_with_a_json_body() -> None:
    words = shlex.split(curl_line(_URL, _SECRET))
    assert words[:2] == ["curl", f"{_URL}/llm/call/demo/v1/chat/completions"]
    assert f"Authorization: Bearer {_SECRET}" in words
    assert json.loads(words[-1])["messages"] == [{"role": "user", "content": "Hello!"}]


def test_the_python_client_has_five_lines_that_compile() -> None:
    code = python_client(_URL, _SECRET)
    assert len(code.splitlines()) == 5
    compile(code, "demo", "exec")
