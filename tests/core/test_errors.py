from weir_core import errors
from weir_core.errors import InvalidInputError, SseEventTooLargeError, UnknownVendorError, WeirError


def test_every_error_of_the_room_is_a_weir_error_and_permanent() -> None:
    kinds = [kind for kind in vars(errors).values() if getattr(kind, "__module__", "") == errors.__name__]

    assert kinds
    assert all(issubclass(kind, WeirError) and not kind.retryable for kind in kinds)


def test_invalid_input_names_its_field() -> None:
    assert InvalidInputError("bad", field="collector.window").field == "collector.window"
    assert InvalidInputError("bad").field == ""


def test_an_unknown_vendor_lists_the_known_ones() -> None:
    assert str(UnknownVendorError("x", ["a", "b"])) == "there is no vendor 'x'; use one of a, b"


def test_an_event_that_is_too_large_names_the_limit() -> None:
    assert SseEventTooLargeError(5).limit == 5
