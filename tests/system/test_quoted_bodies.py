"""Plugins that fail with the body in their words: it stands nowhere that its ``body_capture`` keeps it from."""

from __future__ import annotations

import os
from typing import Any

import pytest
from tests.support.gateway import eventually
from tests.support.world import PLUGINS, Door, World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

COMMANDS = {
    "python": "python://weir_quoting_plugins:Quoting",
    "file": f"file://{PLUGINS / 'weir_quoting_plugins.py'}",
}
STAGES = ("pre_auth", "post_auth", "on_response", "data_collection")


async def quoting(world: World, hosting: str, **llm_fields: Any) -> tuple[Door, str]:
    """A door at whose every stage the plugin fails open, and the plugin's slug."""
    door = await world.door(**llm_fields)
    slug = f"quoting-{door.slug}"
    plugin = await world.gateway.create(
        "plugins", name=slug, slug=slug, command=COMMANDS[hosting], hook_types=list(STAGES)
    )
    attached = [{"plugin_id": plugin["id"], "on_error": "fail_open", "timeout_ms": 20_000}]
    await world.gateway.write("PUT", f"llms/{door.llm_id}/plugins", plugins=attached)
    await world.gateway.hosted(plugin["id"])
    return door, slug


async def letter_of(world: World, slug: str, *, as_viewer: bool = False) -> dict[str, Any]:
    """The plugin's one dead letter, as an admin or a viewer reads it."""
    found: list[dict[str, Any]] = []
    headers = {}
    if as_viewer:
        answer = await world.gateway.api.post("/api/v1/tokens", json={"name": slug, "role": "viewer"})
        headers = {"authorization": f"Bearer {answer.json()['data']['secret']}"}

    async def there() -> bool:
        query = {"collector": slug}
        answer = await world.gateway.api.get("/api/v1/dead-letters", params=query, headers=headers)
        found[:] = answer.raise_for_status().json()["data"]
        return len(found) == 1

    await eventually(there, f"a dead letter of {slug}")
    return found[0]


async def ask(world: World, door: Door, text: str, *, stream: bool) -> None:
    messages = [{"role": "user", "content": text}]
    answer = await world.ask(door, messages=messages, stream=stream)
    assert answer.status_code == 200, answer.text


def logged(world: World, slug: str) -> list[str]:
    lines = world.gateway.log_path.read_text(errors="replace").splitlines()
    return [line for line in lines if slug in line]


@pytest.mark.parametrize("hosting", ["python", "file"])
@pytest.mark.parametrize("capture", ["none", "redacted", "full"])
async def test_a_body_stands_in_log_and_dead_letter_only_where_events_keep_it(
    world: World, hosting: str, capture: str
) -> None:
    secret = f"{os.urandom(8).hex()}@example.org"
    door, slug = await quoting(world, hosting, body_capture=capture)
    await ask(world, door, secret, stream=True)
    letter = await letter_of(world, slug)

    async def told() -> bool:
        return sum("plugin call failed" in line for line in logged(world, slug)) == 4

    await eventually(told, "all four hooks are logged")
    assert (secret in letter["reason"]) == (capture == "full")
    viewed = await letter_of(world, slug, as_viewer=True)
    assert secret not in viewed["reason"]
    assert "handle_proxy_log raised PermanentError" in viewed["reason"]
    everything = world.gateway.log_path.read_text(errors="replace")
    assert (secret in everything) == (capture == "full")
    for what in ("raised ValueError", "handle_post_auth", "raised KeyError", "raised RuntimeError"):
        assert any(what in line for line in logged(world, slug)), what
