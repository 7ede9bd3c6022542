"""What every stored object's answer has in common."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, Field
from sqlalchemy import RowMapping

from weir_core.clock import rfc3339


class Stored(BaseModel):
    """Id and times of an object."""

    id: int = Field(examples=[1])
    created_at: str = Field(examples=["2026-01-31T12:00:00.000000Z"])
    updated_at: str = Field(examples=["2026-01-31T12:00:00.000000Z"])


_Answer = TypeVar("_Answer", bound=Stored)


def answer(model: type[_Answer], row: RowMapping, **more: Any) -> _Answer:
    """Build a resource's answer from its row; ``more`` adds what the row does not hold in that form."""
    times = {
        "created_at": rfc3339(row["created_at_us"]),
        "updated_at": rfc3339(row["updated_at_us"]),
    }
    return model.model_validate({**row, **times, **more})


def moment(wall_us: int | None) -> str | None:
    """Microseconds since the epoch as RFC 3339; None stays None."""
    return None if wall_us is None else rfc3339(wall_us)
