"""What the page about the management API shows works as it stands there."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

from tests.control.conftest import ADMIN_TOKEN, World

PAGE = Path(__file__).parents[2] / "docs" / "management-api.md"
VARIABLES = {"$WEIR": "http://weir/api/v1", "$AUTH": f"Authorization: Bearer {ADMIN_TOKEN}"}


def calls() -> list[list[str]]:
    """Every curl of the page, as a shell would split it."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for command in re.split(r"^(?=curl)", block, flags=re.MULTILINE):
            if command.startswith("curl"):
                for name, value in VARIABLES.items():
                    command = command.replace(name, value)
                found.append(shlex.split(command))
    return found


async def test_every_call_of_the_page_succeeds_in_its_order(world: World) -> None:
    assert len(calls()) > 10
    for words in calls():
        options = dict(itertools.pairwise(words))
        [url] = [word for word in words if word.startswith("http://")]
        name, value = options["-H"].split(": ", 1)
        answer = await world.client.request(
            options.get("-X", "GET"), url, headers={name: value}, content=options.get("-d", "").encode()
        )
        assert answer.is_success, f"{words}: {answer.status_code} {answer.text}"
