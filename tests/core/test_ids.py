import uuid

import pytest

from weir_core.ids import new_id, valid_client_request_id


def test_an_id_is_a_uuid_of_version_seven() -> None:
    made = uuid.UUID(new_id())

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert str(made) == str(made).lower()


def test_ids_differ_and_grow_with_time() -> None:
    made = [new_id() for _ in range(1000)]

    assert len(set(made)) == 1000
    assert made == sorted(made)


@pytest.mark.parametrize(
    "value", ["a", "req_011CSHoE", "0199e3a0-0000-7000-8000-000000000001", "A.b:c/d+e=f@g", "x" * 128]
)
def test_a_plain_request_id_is_kept(value: str) -> None:
    assert valid_client_request_id(value)


@pytest.mark.parametrize(
    "value", ["", "x" * 129, "a b", "a\n", "a\r\nX-Evil: 1", "caf\u00e9", "a;b", "\u0661", "a\x00"]
)
def test_a_request_id_that_could_forge_a_log_line_is_not(value: str) -> None:
    assert not valid_client_request_id(value)
