from __future__ import annotations

from typing import Any

import pytest

from weir_host.errors import PluginStartError
from weir_host.schema import config_errors, config_schema_of
from weir_sdk import BasePlugin

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "api_key": {"type": "string", "minLength": 1},
        "batch": {"type": "object", "properties": {"size": {"type": "integer", "maximum": 1000}}},
    },
    "required": ["api_key"],
}


class Provider(BasePlugin):
    def __init__(self, schema: Any) -> None:
        super().__init__("provider", "1")
        self._schema = schema

    def get_config_schema(self) -> Any:
        if isinstance(self._schema, BaseException):
            raise self._schema
        return self._schema


@pytest.mark.parametrize("given", [{"type": "object"}, '{"type": "object"}', b'{"type": "object"}'])
def test_a_schema_is_an_object_or_json_text(given: object) -> None:
    assert config_schema_of(Provider(given)) == {"type": "object"}


def test_a_plugin_need_not_have_one() -> None:
    assert config_schema_of(BasePlugin("p", "1")) is None


@pytest.mark.parametrize(
    "given",
    [
        None,
        5,
        [],
        "not json",
        b"\xff",
        "[]",
        {"type": "no such type"},
        {1: object()},
        ValueError("no"),
        SystemExit(1),
    ],
)
def test_what_is_no_schema_is_a_failed_start(given: object) -> None:
    with pytest.raises(PluginStartError, match="get_config_schema"):
        config_schema_of(Provider(given))


def test_every_error_comes_with_its_path() -> None:
    assert config_errors({"api_key": "", "batch": {"size": 1001}}, SCHEMA) == [
        ("api_key", "'' should be non-empty"),
        ("batch.size", "1001 is greater than the maximum of 1000"),
    ]
    assert config_errors({}, SCHEMA) == [("", "'api_key' is a required property")]
    assert config_errors({"api_key": "k"}, SCHEMA) == []


@pytest.mark.parametrize(
    ("draft", "keyword"),
    [
        ("http://json-schema.org/draft-07/schema#", "definitions"),
        ("https://json-schema.org/draft/2020-12/schema", "$defs"),
    ],
)
def test_both_drafts_are_understood(draft: str, keyword: str) -> None:
    schema = {
        "$schema": draft,
        keyword: {"port": {"type": "integer"}},
        "properties": {"port": {"$ref": f"#/{keyword}/port"}},
    }
    assert config_schema_of(Provider(schema)) == schema
    assert config_errors({"port": "80"}, schema) == [("port", "'80' is not of type 'integer'")]


def test_a_schema_elsewhere_is_not_fetched() -> None:
    schema = {"$ref": "http://localhost:1/schema.json"}
    with pytest.raises(
        PluginStartError, match=r"refers to 'http://localhost:1/schema\.json', which is not in it"
    ):
        config_errors({}, schema)
