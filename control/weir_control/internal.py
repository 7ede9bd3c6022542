"""What only the gateway's own processes may call: their reports.

It is an application of its own, for a socket of its own, so that no path and no header of a request from
outside can reach it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from weir_control.workers import Report, Workers

_MAX_BYTES: Final = 1024 * 1024
_DECODER: Final = msgspec.json.Decoder(Report)


def create_internal_app(workers: Workers) -> Starlette:
    """Make the application that takes ``POST /internal/status``."""

    async def status(request: Request) -> Response:
        body = await request.body()
        if len(body) > _MAX_BYTES:
            return PlainTextResponse("the report is larger than 1 MiB", 413)
        try:
            workers.record(_DECODER.decode(body))
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            return PlainTextResponse(f"not a report: {error}", 422)
        return Response(status_code=204)

    return Starlette(routes=[Route("/internal/status", status, methods=["POST"])])
