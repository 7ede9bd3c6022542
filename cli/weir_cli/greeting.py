"""What ``weir serve`` says when it is ready. Lines that are meant to be pasted are never wrapped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from weir_cli.demo_state import DEMO_CLAUDE_SLUG, DEMO_MODEL, DEMO_SLUG


@dataclass(frozen=True, slots=True)
class Greeting:
    """The facts of a running gateway.

    ``admin_token`` is the token or how to get one; ``demo_secret`` the demo app's credential; ``admin_url``
    where metrics and the API's reference are, None where they are not served.
    """

    version: str
    url: str
    data_dir: Path
    admin_token: str
    admin_url: str | None = None
    demo_secret: str | None = None


def print_greeting(console: Console, greeting: Greeting) -> None:
    """Write it for a person, with colours where the console has them."""
    for line in _lines(greeting):
        console.print(line, soft_wrap=True, highlight=False)


def curl_line(url: str, secret: str) -> str:
    """A call of the demo model for any shell."""
    return (
        f"curl {url}/llm/call/{DEMO_SLUG}/v1/chat/completions"
        f" -H 'Authorization: Bearer {secret}' -H 'Content-Type: application/json'"
        f' -d \'{{"model": "{DEMO_MODEL}", "messages": [{{"role": "user", "content": "Hello!"}}]}}\''
    )


def python_client(url: str, secret: str) -> str:
    """The same call in five lines, with OpenAI's own package."""
    return "\n".join(
        (
            "from openai import OpenAI",
            f'client = OpenAI(base_url="{url}/llm/call/{DEMO_SLUG}/v1", api_key="{secret}")',
            'messages = [{"role": "user", "content": "Hello!"}]',
            f'answer = client.chat.completions.create(model="{DEMO_MODEL}", messages=messages)',
            "print(answer.choices[0].message.content)",
        )
    )


def _lines(greeting: Greeting) -> Iterator[Text]:
    yield Text()
    yield Text.assemble(("Weir ", "bold"), (greeting.version, "bold"), " is ready.")
    yield Text()
    for name, value in _facts(greeting):
        yield Text.assemble((f"  {name:<13}", "dim"), value)
    if greeting.demo_secret is not None:
        yield from _titled("Call the demo model:", curl_line(greeting.url, greeting.demo_secret))
        yield from _titled(
            "Or from Python (pip install openai):", python_client(greeting.url, greeting.demo_secret)
        )
    yield Text()


def _titled(title: str, code: str) -> Iterator[Text]:
    yield Text()
    yield Text(title, "bold")
    yield Text()
    for line in code.splitlines():
        yield Text(line, "cyan")


def _facts(greeting: Greeting) -> Iterator[tuple[str, str]]:
    yield "gateway", f"{greeting.url}/llm/call/<slug>/..."
    if greeting.demo_secret is not None:
        yield "demo models", f"{DEMO_SLUG} (OpenAI), {DEMO_CLAUDE_SLUG} (Anthropic)"
        yield "demo key", greeting.demo_secret
    yield "management", f"{greeting.url}/api/v1"
    yield "admin token", greeting.admin_token
    yield "health", f"{greeting.url}/health and {greeting.url}/ready"
    if greeting.admin_url is None:
        yield "metrics", "set WEIR_ADMIN_PORT to have them, and the API docs, on a listener of their own"
    else:
        yield "API docs", f"{greeting.admin_url}/docs"
        yield "metrics", f"{greeting.admin_url}/metrics"
    yield "data", str(greeting.data_dir)
