"""``/edge/reports``: what proxies on other machines say of themselves. Between Weir's own processes only."""

from __future__ import annotations

from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response

from weir_control.deps import Caller, Control
from weir_control.errors import ForbiddenError, MalformedBodyError
from weir_control.workers import Report

router = APIRouter(prefix="/edge", include_in_schema=False)


class Reports(msgspec.Struct, frozen=True):
    """The processes of one edge."""

    reports: tuple[Report, ...]


_DECODER: Final = msgspec.json.Decoder(Reports)


@router.post("/reports", status_code=204)
async def take_reports(control: Control, caller: Caller, request: Request) -> Response:
    """Take reports in the place of the processes' last ones."""
    try:
        reports = _DECODER.decode(await request.body()).reports
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise MalformedBodyError(f"The body is no reports: {error}.") from error
    for report in reports:
        if not caller.reaches(report.namespace):
            raise ForbiddenError(
                f"The token may not speak for {report.worker} of the namespace {report.namespace!r}; make "
                "one that may: weir tokens create --role edge --namespace NAME"
            )
    for report in reports:
        control.workers.record(report)
    return Response(status_code=204)
