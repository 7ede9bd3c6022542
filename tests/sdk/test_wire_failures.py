from __future__ import annotations

import pytest

from weir_sdk import PermanentError
from weir_sdk.errors import RubbishError
from weir_sdk.wire.failures import Failure, described, failure_from_wire, failure_of, type_described


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ValueError("boom"), Failure("raised", "ValueError: boom", True)),
        (PermanentError("no"), Failure("raised", "PermanentError: no", False)),
        (SystemExit(3), Failure("raised", "SystemExit: 3", True)),
        (KeyError(), Failure("raised", "KeyError", True)),
        (RubbishError("returned int"), Failure("rubbish", "returned int", False)),
    ],
)
def test_a_failure_travels_whole(error: BaseException, failure: Failure) -> None:
    assert failure_of(error) == failure
    assert failure_from_wire(failure.message, failure.trailers) == failure


def test_kinds_have_codes_of_their_own() -> None:
    assert failure_of(RubbishError("x")).code == "INTERNAL"
    assert failure_of(ValueError("x")).code == "UNKNOWN"


def test_a_go_plugins_failure_has_no_kind() -> None:
    assert failure_from_wire("rpc error", ()) is None


@pytest.mark.parametrize(
    ("description", "name"),
    [
        (described(ValueError("my salary: 7")), "ValueError"),
        (described(KeyError()), "KeyError"),
        (described(type("my salary", (Exception,), {})("x")), "an exception"),
        ("my salary: 7", "an exception"),
        ("", "an exception"),
    ],
)
def test_of_a_description_the_type_alone_can_be_had(description: str, name: str) -> None:
    assert type_described(description) == name


@pytest.mark.parametrize("text", ["é" * 10_000, "x" * 100_000, "\ud800", "\U0001f600" * 5000])
def test_a_text_that_no_header_can_carry_is_cut_to_one(text: str) -> None:
    message = failure_of(ValueError(text)).message
    assert message.startswith("ValueError: ")
    assert len(message.encode()) < 2100
