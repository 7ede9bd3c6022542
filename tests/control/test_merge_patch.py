"""JSON Merge Patch, RFC 7396."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_control.api.merge_patch import patched

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=2), VALUES, max_size=4)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": ["b"]}, {"a": {"b": "c", "d": None}}, {"a": {"b": "c"}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {}, {"a": 1}),
    ],
)
def test_the_examples_of_the_rfc_hold(target: Any, patch: Any, result: Any) -> None:
    assert patched(target, patch) == result


def test_a_null_at_the_top_is_left_for_the_field_to_judge() -> None:
    assert patched({"a": 1}, {"a": None}) == {"a": None}


@given(OBJECTS, OBJECTS)
def test_patching_twice_is_patching_once_and_changes_no_input(target: Any, patch: Any) -> None:
    before = repr((target, patch))
    once = patched(target, patch)
    assert patched(once, patch) == once
    assert repr((target, patch)) == before
    assert all(once[name] == target[name] for name in target if name not in patch)
