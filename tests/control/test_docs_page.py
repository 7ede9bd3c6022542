"""The page at /docs works where no other host can be reached."""

from __future__ import annotations

import re

import pytest
from tests.control.conftest import World

PARTS = {"/docs": "text/html", "/docs/page.js": "text/javascript", "/docs/page.css": "text/css"}


@pytest.mark.parametrize(("path", "media_type"), PARTS.items())
async def test_every_part_of_the_page_is_served_without_a_token(
    world: World, path: str, media_type: str
) -> None:
    answer = await world.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media_type)
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_the_page_asks_for_nothing_but_its_own_parts_and_the_description(world: World) -> None:
    text = "".join([(await world.client.get(path)).text for path in PARTS])
    assert not re.search(r"(?:https?:)?//[a-z]", text)
    named = set(re.findall(r"(?:src|href)=\"([^\"]+)\"|fetch\(\"([^\"]+)\"", text))
    assert {left or right for left, right in named} == {"/docs/page.js", "/docs/page.css", "/openapi.json"}


async def test_no_text_becomes_markup(world: World) -> None:
    script = (await world.client.get("/docs/page.js")).text
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)


async def test_each_operation_has_the_tag_under_which_the_page_shows_it(world: World) -> None:
    document = (await world.client.get("/openapi.json")).json()
    tags = {tag["name"] for tag in document["tags"]}
    for methods in document["paths"].values():
        assert all(operation["tags"][0] in tags for operation in methods.values())
