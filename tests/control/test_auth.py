"""Who may use the management API."""

from __future__ import annotations

import pytest
from tests.control.conftest import ADMIN_TOKEN, Api, World


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic " + ADMIN_TOKEN,
        "Bearer wt_0000000000000000_unknown",
        "Bearer " + ADMIN_TOKEN + "x",
        ADMIN_TOKEN,
    ],
)
async def test_without_a_valid_token_everything_is_401(world: World, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    for path in ("/apps", "/apps/1", "/nothing", "/tokens"):
        answer = await world.as_(None)("GET", path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="weir"'
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_is_not_even_read_without_a_token(world: World) -> None:
    answer = await world.as_(None)("POST", "/apps", content=b"{" * 2_000_000)
    assert answer.status_code == 401


async def test_two_authorization_headers_are_401(world: World) -> None:
    headers = [("authorization", f"Bearer {ADMIN_TOKEN}")] * 2
    answer = await world.client.get("/api/v1/apps", headers=headers)
    assert answer.status_code == 401


async def test_an_apps_credential_is_401_and_says_what_it_is(world: World) -> None:
    app = await world.admin.app()
    made = await world.admin.data("POST", f"/apps/{app['id']}/credentials", {})
    problem = await world.as_(made["secret"]).problem(401, "GET", "/apps")
    assert "credential" in problem["detail"]


async def test_the_scheme_is_read_in_any_case(world: World) -> None:
    answer = await world.as_(None)("GET", "/apps", headers={"authorization": f"bEARER  {ADMIN_TOKEN}"})
    assert answer.status_code == 200


async def test_documentation_and_health_need_no_token(world: World) -> None:
    await world.published()
    for path in ("/openapi.json", "/docs", "/health", "/ready"):
        assert (await world.client.get(path)).status_code == 200


async def test_a_revoked_token_is_401_at_once(world: World, admin: Api) -> None:
    made = await admin.data("POST", "/tokens", {"name": "t", "role": "admin"})
    other = world.as_(made["secret"])
    assert (await other("GET", "/apps")).status_code == 200
    await other.data("DELETE", f"/tokens/{made['id']}")
    assert (await other("GET", "/apps")).status_code == 401


async def test_who_is_turned_away_stands_in_the_log_without_what_they_sent(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    viewer = await world.caller("viewer")
    north = await world.caller("admin", "north")
    capsys.readouterr()
    await world.as_("wt_0000000000000000_guessed").problem(401, "GET", "/apps")
    await viewer.problem(403, "DELETE", "/apps/1")
    await north.problem(403, "POST", "/apps", {"name": "a"})
    lines = [line for line in capsys.readouterr().out.splitlines() if "refused" in line]
    assert len(lines) == 3
    assert "guessed" not in "".join(lines)
    for line, expected in zip(lines, ("status=401", "role=viewer", "role=admin"), strict=True):
        assert expected in line
