import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_core.vendors.estimate import (
    estimate_prompt_tokens,
    estimate_response_tokens,
    worst_case_prompt_tokens,
)


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (400, 100)])
def test_four_bytes_or_characters_are_a_token_and_what_is_left_is_one(size: int, tokens: int) -> None:
    assert estimate_prompt_tokens(size) == tokens
    assert estimate_response_tokens(size) == tokens


@given(st.integers(min_value=0, max_value=10**9))
def test_the_worst_case_is_never_below_the_estimate(size: int) -> None:
    assert worst_case_prompt_tokens(size) >= estimate_prompt_tokens(size)
