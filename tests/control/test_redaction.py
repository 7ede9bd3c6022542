"""Which parts of a configuration are secret, by the plugin's own schema."""

from __future__ import annotations

from typing import Any

import pytest

from weir_control.plugins.redaction import masked, secret_paths, values_at
from weir_core.blotting import blot_out

SECRET: dict[str, Any] = {"writeOnly": True}


@pytest.mark.parametrize(
    ("schema", "config", "shown"),
    [
        ({"properties": {"a": SECRET}}, {"a": 1, "b": 2}, {"a": "***", "b": 2}),
        (
            {"properties": {"a": {"properties": {"b": SECRET}}}},
            {"a": {"b": 1, "c": 2}},
            {"a": {"b": "***", "c": 2}},
        ),
        ({"properties": {"a": SECRET}}, {"a": {"deep": [1]}}, {"a": "***"}),
        ({"properties": {"a": {"items": SECRET}}}, {"a": [1, 2]}, {"a": ["***", "***"]}),
        ({"properties": {"a": {"items": [{}, SECRET]}}}, {"a": [1, 2, 3]}, {"a": [1, "***", 3]}),
        (
            {"properties": {"a": {"prefixItems": [{}], "items": SECRET}}},
            {"a": [1, 2, 3]},
            {"a": [1, "***", "***"]},
        ),
        (
            {"properties": {"a": {"items": [{}], "additionalItems": SECRET}}},
            {"a": [1, 2]},
            {"a": [1, "***"]},
        ),
        ({"patternProperties": {"_key$": SECRET}}, {"api_key": 1, "keys": 2}, {"api_key": "***", "keys": 2}),
        ({"properties": {"a": {}}, "additionalProperties": SECRET}, {"a": 1, "b": 2}, {"a": 1, "b": "***"}),
        ({"additionalProperties": True}, {"a": 1}, {"a": 1}),
        ({"properties": {"a": {"$ref": "#/$defs/s"}}, "$defs": {"s": SECRET}}, {"a": 1}, {"a": "***"}),
        (
            {"$ref": "#/definitions/x~1y", "definitions": {"x/y": {"properties": {"a": SECRET}}}},
            {"a": 1},
            {"a": "***"},
        ),
        ({"properties": {"a": {"$ref": "https://elsewhere.example/s"}}}, {"a": 1}, {"a": 1}),
        ({"properties": {"a": {"$ref": "#/nowhere"}}}, {"a": 1}, {"a": 1}),
        ({"allOf": [{"properties": {"a": SECRET}}]}, {"a": 1}, {"a": "***"}),
        ({"oneOf": [{"properties": {"a": SECRET}}, {}]}, {"a": 1}, {"a": "***"}),
        ({"properties": {"a": {"anyOf": [SECRET, {"type": "null"}]}}}, {"a": 1}, {"a": "***"}),
        ({"if": {}, "then": {"properties": {"a": SECRET}}}, {"a": 1}, {"a": "***"}),
        ({"properties": {"a": {"writeOnly": False}}}, {"a": 1}, {"a": 1}),
        ({"properties": {"a": True}}, {"a": 1}, {"a": 1}),
        (None, {"a": 1, "b": {"c": 2}}, {"a": "***", "b": "***"}),
        ({}, {"a": 1}, {"a": 1}),
    ],
)
def test_what_is_write_only_is_masked(schema: Any, config: dict[str, Any], shown: dict[str, Any]) -> None:
    assert masked(config, secret_paths(config, schema)) == shown


def redact(config: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return masked(config, secret_paths(config, schema))


def test_a_schema_that_refers_to_itself_is_followed_as_deep_as_the_value_goes() -> None:
    schema = {"properties": {"next": {"$ref": "#"}, "key": SECRET}}
    assert redact({"next": {"next": {"key": 1}}}, schema) == {"next": {"next": {"key": "***"}}}
    assert redact({"key": 1}, {"allOf": [{"$ref": "#"}], "properties": {"key": SECRET}}) == {"key": "***"}


def test_the_configuration_itself_is_left_alone() -> None:
    config = {"a": {"b": 1}}
    redact(config, {"properties": {"a": {"properties": {"b": SECRET}}}})
    assert config == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("config", "message", "shown"),
    [
        ({"a": "s3cret"}, "'s3cret' is too short", "*** is too short"),
        ({"a": "it's"}, '"it\'s" is too short', "*** is too short"),
        ({"a": {"b": "s3cret"}}, "'s3cret' is too short", "*** is too short"),
        ({"a": ["s3cret"], "c": 1}, "{'a': ['s3cret'], 'c': 1} is wrong", "{'a': ***, 'c': 1} is wrong"),
        ({"b": "shown"}, "'shown' is too short", "'shown' is too short"),
    ],
)
def test_a_validators_message_does_not_repeat_a_secret(config: Any, message: str, shown: str) -> None:
    secrets = values_at(config, secret_paths(config, {"properties": {"a": SECRET}}))
    assert blot_out(message, secrets) == shown
