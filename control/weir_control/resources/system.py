"""``/health`` and ``/ready`` of the control process itself; no token needed."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from weir_control.deps import Control
from weir_control.errors import StoreUnavailableError
from weir_control.store.store import newest_revision

router = APIRouter(tags=["system"])


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether changes can be made and reach those who work with them."""

    status: Literal["ready", "not_ready"]
    reasons: list[str] = Field(description="Why it is not ready; empty when it is.")
    published_revision: int = Field(description="The newest that proxies can see.", examples=[12])


@router.get("/health", summary="Is the process alive")
async def health() -> Alive:
    return Alive()


@router.get("/ready", summary="Can configuration be changed", responses={503: {"model": Ready}})
async def ready(control: Control, response: Response) -> Ready:
    reasons = []
    try:
        async with control.store.reading() as connection:
            await newest_revision(connection)
    except StoreUnavailableError:
        reasons.append("the database does not answer")
    if control.publisher.published_revision < 0:
        reasons.append("no configuration has been published yet")
    if control.publisher.failure is not None:
        reasons.append("the newest configuration could not be published; the log says why")
    if reasons:
        response.status_code = 503
    return Ready(
        status="not_ready" if reasons else "ready",
        reasons=reasons,
        published_revision=max(0, control.publisher.published_revision),
    )
