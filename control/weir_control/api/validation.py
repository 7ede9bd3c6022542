"""From what pydantic found wrong to the ``errors[]`` of a problem."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from weir_control.errors import FieldError, InvalidFieldsError

_Model = TypeVar("_Model", bound=BaseModel)

_CODES: Final = {
    "missing": ("required", "is required"),
    "extra_forbidden": ("unknown_field", "there is no such field"),
}


def validate(model: type[_Model], document: Any) -> _Model:
    """Return ``document`` as a ``model``.

    Raises:
        InvalidFieldsError: With every field that is wrong.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise InvalidFieldsError(field_errors(error.errors(include_url=False))) from None


def field_errors(found: Iterable[Any], skip: int = 0) -> list[FieldError]:
    """Translate pydantic's error list; ``skip`` leading parts of each location are not the field's."""
    return [_field_error(item, skip) for item in found]


def path_text(location: Sequence[str | int]) -> str:
    """Write a location as a path: ``("plugins", 0, "timeout_ms")`` is ``plugins[0].timeout_ms``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _field_error(item: Any, skip: int) -> FieldError:
    kind: str = item["type"]
    # The value itself is never repeated: it may be a secret.
    code, message = _CODES.get(kind, (_code_of(kind), _plain(item["msg"])))
    return FieldError(path_text(item["loc"][skip:]), code, message)


def _code_of(kind: str) -> str:
    if kind.endswith("_type"):
        return "wrong_type"
    return kind if kind in ("not_supported_yet", "unknown_vendor") else "invalid"


def _plain(message: str) -> str:
    return (
        message.removeprefix("Value error, ").replace("Input should be", "must be").replace("should", "must")
    )
