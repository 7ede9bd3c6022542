"""What is left of a text when secrets are taken out of it."""

from __future__ import annotations

from typing import Any

import pytest

from weir_core.blotting import blot_out


@pytest.mark.parametrize(
    ("secret", "text", "left"),
    [
        ("s3cret", "no s3cret here, nor s3crets", "no *** here, nor ***s"),
        ("abc", "'abc' or \"abc\", but abcdef", "*** or ***, but abcdef"),
        ("", "'' is too short", "'' is too short"),
        (5, "5 is less than 10, after 15.5 ms and x5", "*** is less than 10, after 15.5 ms and x5"),
        (1.5, "1.5 of 11.5 and 1.55. It is 1.5.", "*** of 11.5 and 1.55. It is ***."),
        (-7, "-7 and 7", "*** and 7"),
        (123456, "pin=123456; id 91234567", "pin=***; id 91234567"),
        (True, "True is not of type 'string'", "True is not of type 'string'"),
        (None, "None is not of type 'string'", "None is not of type 'string'"),
        ({"a": "s3cret", "n": 5}, "{'a': 's3cret', 'n': 5} or s3cret or 5", "*** or *** or ***"),
    ],
)
def test_a_secret_is_found_where_it_stands_as_itself(secret: Any, text: str, left: str) -> None:
    assert blot_out(text, [secret]) == left


def test_of_a_secret_that_begins_like_another_nothing_is_left() -> None:
    assert blot_out("it is opensesame", ["open", "opensesame"]) == "it is ***"
