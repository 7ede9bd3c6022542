"""Fields whose behaviour is still to come: accepted when empty, refused by name when not, stored never."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.control.conftest import Api, refusal

LLM = {"name": "a", "vendor": "openai", "api_endpoint": "https://a.example"}
APP = {"name": "a"}
PLUGIN = {"name": "a", "command": "python://acme:Plugin"}
PRICE = {"vendor": "openai", "model": "gpt-4o", "input": "1"}

REFUSED: list[tuple[str, dict[str, Any], str, Any]] = [
    ("/llms", LLM, "retries", 3),
    ("/llms", LLM, "fallback_llm_ids", [1]),
    ("/llms", LLM, "monthly_budget", "100.00"),
    ("/llms", LLM, "monthly_budget", 100),
    ("/llms", LLM, "monthly_budget", 0),
    ("/llms", LLM, "rate_limit_rpm", 60),
    ("/llms", LLM, "default_max_output_tokens", 1024),
    ("/llms", LLM, "allow_unmetered_paths", ["/v1/files"]),
    ("/llms", LLM, "allowed_override_origins", ["https://b.example"]),
    ("/apps", APP, "monthly_budget", "100.00"),
    ("/apps", APP, "budget_reset_day", 1),
    ("/apps", APP, "rate_limit_rpm", 60),
    ("/apps", APP, "allowed_ips", ["10.0.0.0/8"]),
    ("/plugins", PLUGIN, "command", "grpc://127.0.0.1:5000"),
    ("/plugins", PLUGIN, "hook_type", "custom_endpoint"),
    ("/model-prices", PRICE, "currency", "EUR"),
]

ACCEPTED: list[tuple[str, dict[str, Any], str, Any]] = [
    ("/llms", LLM, "retries", 0),
    ("/llms", LLM, "fallback_llm_ids", []),
    ("/llms", LLM, "allow_unmetered_paths", []),
    ("/llms", LLM, "allowed_override_origins", []),
    ("/apps", APP, "allowed_ips", []),
    ("/plugins", PLUGIN, "runtime", "gateway"),
    ("/plugins", PLUGIN, "plugin_type", "gateway"),
    ("/model-prices", PRICE, "currency", "USD"),
]

NEEDED = ("command", "hook_type", "currency")


def given(valid: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    outer, _, inner = field.partition(".")
    return valid | {outer: {inner: value} if inner else value}


@refusal
@pytest.mark.parametrize(("path", "valid", "field", "value"), REFUSED)
async def test_a_value_whose_behaviour_comes_later_is_refused_by_name(
    refusing: Api, path: str, valid: dict[str, Any], field: str, value: Any
) -> None:
    problem = await refusing.problem(422, "POST", path, given(valid, field, value))
    assert problem["code"] == "not_supported_yet"
    assert [(error["field"], error["code"]) for error in problem["errors"]] == [(field, "not_supported_yet")]


@pytest.mark.parametrize(
    ("path", "valid", "field"),
    sorted({(path, tuple(valid.items()), field) for path, valid, field, _ in REFUSED if field not in NEEDED}),
)
async def test_null_in_its_place_is_accepted(
    admin: Api, path: str, valid: tuple[tuple[str, Any], ...], field: str
) -> None:
    await admin.data("POST", path, given(dict(valid), field, None))


@pytest.mark.parametrize(("path", "valid", "field", "value"), ACCEPTED)
async def test_its_documented_default_is_accepted(
    admin: Api, path: str, valid: dict[str, Any], field: str, value: Any
) -> None:
    await admin.data("POST", path, given(valid, field, value))


async def test_a_change_cannot_bring_it_in_either(admin: Api) -> None:
    llm = await admin.llm()
    for method, body in (("PATCH", {}), ("PUT", LLM)):
        errors = await admin.errors(method, f"/llms/{llm['id']}", body | {"retries": 2})
        assert errors == {"retries": "not_supported_yet"}


@refusal
async def test_a_checksum_that_is_none_is_just_wrong(refusing: Api) -> None:
    assert await refusing.errors("POST", "/plugins", PLUGIN | {"checksum": "abc"}) == {"checksum": "invalid"}


@refusal
async def test_beside_another_error_the_problem_is_invalid_input(refusing: Api) -> None:
    problem = await refusing.problem(422, "POST", "/apps", {"nam": "a", "rate_limit_rpm": 1})
    assert problem["code"] == "invalid_input"
    assert {error["field"]: error["code"] for error in problem["errors"]} == {
        "name": "required",
        "nam": "unknown_field",
        "rate_limit_rpm": "not_supported_yet",
    }


def test_the_page_lists_what_is_refused_and_nothing_else() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "management-api.md").read_text()
    table = page.partition("## Not supported yet")[2]
    listed = {
        (resource, field)
        for resource, fields in re.findall(r"^\| `([\w-]+)` \| (.+) \|$", table, re.MULTILINE)
        for field in re.findall(r"`([\w:/]+)`(?!\])", fields)
    }
    values = {"grpc://127.0.0.1:5000": "grpc://", "custom_endpoint": "custom_endpoint"}
    refused = {(path[1:], values.get(str(value), field)) for path, _, field, value in REFUSED}
    assert listed == refused
