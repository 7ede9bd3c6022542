"""The API's own description: the first thing that somebody sees of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.control.conftest import World


@pytest.fixture
async def document(world: World) -> Any:
    return (await world.client.get("/openapi.json")).json()


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


async def test_every_resource_of_the_contract_is_there(document: Any) -> None:
    expected = {
        "/llms": "get post",
        "/llms/{llm_id}": "get put patch delete",
        "/llms/{llm_id}/plugins": "get put",
        "/apps": "get post",
        "/apps/{app_id}": "get put patch delete",
        "/apps/{app_id}/credentials": "get post",
        "/apps/{app_id}/credentials/{credential_id}": "get delete",
        "/plugins": "get post",
        "/plugins/{plugin_id}": "get put patch delete",
        "/plugins/{plugin_id}/reload": "post",
        "/plugins/{plugin_id}/config-schema": "get",
        "/plugins/{plugin_id}/health": "get",
        "/model-prices": "get post",
        "/model-prices/{price_id}": "get put patch delete",
        "/records/proxy-logs": "get",
        "/records/analytics": "get",
        "/records/budget-usage": "get",
        "/analytics/summary": "get",
        "/collectors": "get",
        "/collectors/{name}": "get",
        "/consumer-groups": "get",
        "/dead-letters": "get",
        "/dead-letters/redrive": "post",
        "/dead-letters/ranges": "get",
        "/dead-letters/ranges/{range_id}": "get",
        "/dead-letters/ranges/{range_id}/redrive": "post",
        "/dead-letters/{letter_id}": "get",
        "/dead-letters/{letter_id}/redrive": "post",
        "/edge-payloads": "get",
        "/edge-payloads/{payload_id}/redrive": "post",
        "/proxies": "get",
        "/audit-log": "get",
        "/tokens": "get post",
        "/tokens/{token_id}": "get delete",
    }
    found = {
        path.removeprefix("/api/v1"): set(methods)
        for path, methods in document["paths"].items()
        if path.startswith("/api/")
    }
    assert found == {path: set(methods.split()) for path, methods in expected.items()}


async def test_every_operation_has_a_summary_a_tag_and_its_errors(document: Any) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert set(operation["tags"]) <= tags
        if path.startswith("/api/"):
            assert operation["security"]
            assert {"401", "403"} <= set(operation["responses"])
        for status, response in operation["responses"].items():
            if path.startswith("/api/") and status >= "400":
                assert list(response["content"]) == ["application/problem+json"]


async def test_every_write_tells_of_its_revision(document: Any) -> None:
    for method, path, operation in operations(document):
        if method != "get":
            [success] = [response for status, response in operation["responses"].items() if status < "300"]
            assert "X-Weir-Revision" in success["headers"], (method, path)


async def test_nothing_in_a_patch_is_required(document: Any) -> None:
    for name in ("LlmPatch", "AppPatch", "PluginPatch", "ModelPricePatch"):
        schema = document["components"]["schemas"][name]
        assert "required" not in schema
        assert schema["additionalProperties"] is False
    assert document["components"]["schemas"]["LlmInput"]["required"] == ["name", "vendor", "api_endpoint"]


async def test_every_reference_leads_somewhere_and_every_schema_is_one(document: Any) -> None:
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        Draft202012Validator.check_schema(schema)
        for reference in references(schema):
            assert reference.removeprefix("#/components/schemas/") in schemas, (name, reference)
    for reference in references(document["paths"]):
        assert reference.removeprefix("#/components/schemas/") in schemas


async def test_the_examples_of_the_inputs_work(world: World, document: Any) -> None:
    await world.admin.llm(slug="first")
    paths = {"LlmInput": "/llms", "AppInput": "/apps", "PluginInput": "/plugins", "TokenInput": "/tokens"}
    paths |= {"ModelPriceInput": "/model-prices", "CredentialInput": "/apps/1/credentials"}
    for name, path in paths.items():
        for example in document["components"]["schemas"][name]["examples"]:
            await world.admin.data("POST", path, example)
    await world.admin.plugin(slug="two")
    await world.admin.plugin(slug="three")
    for example in document["components"]["schemas"]["AttachmentsInput"]["examples"]:
        await world.admin.data("PUT", "/llms/1/plugins", example)


async def test_the_page_of_the_documentation_loads(world: World) -> None:
    answer = await world.client.get("/docs")
    assert "Weir management API" in answer.text


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield item
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)
