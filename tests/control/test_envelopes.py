"""The shapes that every resource shares."""

from __future__ import annotations

import pytest
from tests.control.conftest import Api, World, refusal


async def test_a_list_says_where_its_page_stands(admin: Api) -> None:
    for number in range(5):
        await admin.app(name=f"app {number}")
    answer = (await admin("GET", "/apps?page=2&limit=2")).json()
    assert [app["name"] for app in answer["data"]] == ["app 2", "app 3"]
    assert answer["pagination"] == {"page": 2, "limit": 2, "total": 5, "total_pages": 3}


async def test_an_empty_list_has_no_pages(admin: Api) -> None:
    answer = (await admin("GET", "/apps")).json()
    assert answer == {"data": [], "pagination": {"page": 1, "limit": 25, "total": 0, "total_pages": 0}}


async def test_a_page_behind_the_last_is_empty(admin: Api) -> None:
    await admin.app()
    answer = (await admin("GET", "/apps?page=2147483647&limit=100")).json()
    assert (answer["data"], answer["pagination"]["total"]) == ([], 1)


@refusal
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=101", "limit"),
        ("limit=0", "limit"),
        ("limit=many", "limit"),
        ("page=0", "page"),
        ("page=99999999999999999999", "page"),
        ("pge=1", "pge"),
    ],
)
async def test_a_page_that_cannot_be_asked_for_is_422(refusing: Api, query: str, field: str) -> None:
    assert list(await refusing.errors("GET", f"/apps?{query}")) == [field]


@pytest.mark.parametrize(
    "path", ["/apps", "/llms", "/plugins", "/model-prices", "/tokens", "/apps/{}/credentials"]
)
async def test_an_id_that_nothing_has_is_404(admin: Api, path: str) -> None:
    app = await admin.app()
    problem = await admin.problem(404, "GET", f"{path.format(app['id'])}/4294967295")
    assert "4294967295" in problem["detail"]


@refusal
@pytest.mark.parametrize("wrong", ["0", "-1", "4294967296", "a", "%00", "1.5", "9" * 400])
async def test_an_id_that_nothing_can_have_is_422(refusing: Api, wrong: str) -> None:
    assert list(await refusing.errors("GET", f"/apps/{wrong}")) == ["app_id"]


@refusal
async def test_a_path_that_is_not_there_is_a_problem_too(refusing: Api) -> None:
    problem = await refusing.problem(404, "GET", "/nothing")
    assert problem["type"] == "urn:weir:problem:not_found"


@refusal
async def test_a_method_that_is_not_possible_is_405_and_says_which_are(refusing: Api) -> None:
    for path, allowed in (("/apps", "GET, POST"), ("/apps/7", "GET, PUT, PATCH, DELETE")):
        answer = await refusing("OPTIONS", path)
        assert answer.status_code == 405
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["allow"] == allowed


async def test_a_new_object_says_where_it_is(admin: Api) -> None:
    answer = await admin("POST", "/apps", {"name": "a"})
    assert answer.headers["location"] == f"/api/v1/apps/{answer.json()['data']['id']}"


async def test_every_write_answers_a_larger_revision(world: World) -> None:
    admin = world.admin
    app = await admin.app()
    price = {"vendor": "openai", "model": "gpt-4o", "input": "1"}
    credentials = f"/apps/{app['id']}/credentials"
    writes = [
        await admin("POST", "/llms", {"name": "a", "vendor": "openai", "api_endpoint": "https://a.example"}),
        await admin("PATCH", "/llms/1", {"is_active": False}),
        await admin("PUT", "/llms/1", {"name": "b", "vendor": "openai", "api_endpoint": "https://a.example"}),
        await admin("POST", "/plugins", {"name": "p", "command": "python://acme:Plugin"}),
        await admin("POST", "/plugins/1/reload"),
        await admin("PUT", "/llms/1/plugins", {"plugin_ids": [1]}),
        await admin("PUT", "/llms/1/plugins", {"plugin_ids": []}),
        await admin("DELETE", "/plugins/1"),
        await admin("DELETE", "/llms/1"),
        await admin("POST", credentials, {}),
        await admin("DELETE", f"{credentials}/1"),
        await admin("POST", "/model-prices", price),
        await admin("PATCH", "/model-prices/1", {"input": "2"}),
        await admin("DELETE", "/model-prices/1"),
        await admin("POST", "/tokens", {"name": "t", "role": "viewer"}),
        await admin("DELETE", "/tokens/2"),
        await admin("DELETE", f"/apps/{app['id']}"),
    ]
    assert all(answer.is_success for answer in writes), [answer.text for answer in writes]
    revisions = [int(answer.headers["x-weir-revision"]) for answer in writes]
    assert revisions == list(range(revisions[0], revisions[0] + len(writes)))


async def test_a_refused_write_makes_no_revision(world: World) -> None:
    before = (await world.published()).revision
    assert (await world.admin("POST", "/apps", {"name": "a", "llm_ids": [7]})).status_code == 422
    assert (await world.published()).revision == before
    assert (await world.admin.data("GET", "/apps")) == []
