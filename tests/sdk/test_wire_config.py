from __future__ import annotations

from typing import Any

import pytest

from weir_sdk.wire.config import Beginning, beginning_from_wire, beginning_to_wire, flatten

CONFIG: dict[str, Any] = {
    "text": "a",
    "whole": 1000000,
    "float": 1.5,
    "flag": True,
    "list": [1, "a"],
    "object": {"a": None},
    "nothing": None,
    "5": "digits",
}


def test_our_own_plugins_read_the_configuration_with_its_types() -> None:
    beginning = Beginning(config=CONFIG, plugin_id=4, broker_id=1, edge_id="edge-1", edge_namespace="eu")
    assert beginning_from_wire(beginning_to_wire(beginning)) == beginning


def test_go_plugins_find_the_ids_under_both_spellings() -> None:
    flat = beginning_to_wire(Beginning(plugin_id=4, broker_id=1))
    assert flat["_plugin_id"] == flat["plugin_id"] == "4"
    assert flat["_service_broker_id"] == flat["service_broker_id"] == "1"


def test_no_broker_id_is_offered_where_there_is_no_broker() -> None:
    assert "_service_broker_id" not in beginning_to_wire(Beginning(plugin_id=4))


def test_a_key_of_the_configuration_keeps_its_value() -> None:
    flat = beginning_to_wire(Beginning(config={"plugin_id": "mine"}, plugin_id=4))
    assert (flat["plugin_id"], flat["_plugin_id"]) == ("mine", "4")
    read = beginning_from_wire(flat)
    assert (read.config, read.plugin_id) == ({"plugin_id": "mine"}, 4)


def test_a_go_hosts_configuration_is_text_without_the_hosts_own_keys() -> None:
    read = beginning_from_wire(
        {
            "limit": "5",
            "_plugin_id": "4",
            "plugin_id": "4",
            "service_broker_id": "2",
            "has_service_api": "true",
        }
    )
    assert read == Beginning(config={"limit": "5"}, plugin_id=4, broker_id=2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (1000000, "1000000"),
        (2**60, "1152921504606846976"),
        (5.0, "5"),
        (1000000.0, "1000000"),
        (-0.5, "-0.5"),
        (1.5, "1.5"),
        (123456.789, "123456.789"),
        (1234567.5, "1.2345675e+06"),
        (0.0001, "0.0001"),
        (0.00001234, "1.234e-05"),
        (1e300, "1e+300"),
        ([1, "a"], '[1,"a"]'),
        ({"a": None}, '{"a":null}'),
    ],
)
def test_values_take_the_form_that_go_plugins_expect(value: Any, text: str) -> None:
    assert flatten({"key": value}) == {"key": text}
