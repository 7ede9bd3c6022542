"""Errors as RFC 9457 problem documents, the one shape in which this API says no."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from weir_control.api.refusals import log_refusal
from weir_control.api.validation import field_errors
from weir_control.errors import (
    ControlError,
    InvalidFieldsError,
    StoreUnavailableError,
    invalid,
)
from weir_core.errors import InvalidInputError, SecretError, WeirError

_log = structlog.get_logger("weir.control")

PROBLEM_JSON: Final = "application/problem+json"
_RETRY_AFTER_S: Final = "1"


class ProblemField(BaseModel):
    """What is wrong with one field."""

    field: str = Field(
        description="Path inside the body, or the name of a parameter.", examples=["api_endpoint"]
    )
    code: str = Field(description="Stable, for programs.", examples=["not_supported_yet"])
    message: str = Field(description="For people.", examples=["must start with http:// or https://"])


class Problem(BaseModel):
    """An error (RFC 9457, `application/problem+json`)."""

    type: str = Field(description="Names the kind of problem.", examples=["urn:weir:problem:invalid_input"])
    title: str = Field(examples=["Invalid input"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["api_endpoint: must start with http:// or https://"])
    code: str = Field(
        description="The last part of `type`, for programs that switch on it.", examples=["invalid_input"]
    )
    errors: list[ProblemField] = Field(
        default_factory=list, description="The fields that are wrong; empty when it is not about fields."
    )


class ProblemResponse(JSONResponse):
    """A response with a problem document as its body."""

    media_type = PROBLEM_JSON

    def __init__(self, error: ControlError, headers: Mapping[str, str] | None = None) -> None:
        document = {
            "type": f"urn:weir:problem:{error.code}",
            "title": error.title,
            "status": error.status,
            "detail": error.detail,
            "code": error.code,
            "errors": [
                {"field": item.field, "code": item.code, "message": item.message} for item in error.errors
            ],
        }
        more = {"Retry-After": _RETRY_AFTER_S} if error.retryable else {}
        super().__init__(document, error.status, headers={**more, **(headers or {})})


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every exception that leaves a route with a problem document."""
    app.add_exception_handler(WeirError, _weir_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unexpected)


async def _weir_error(request: Request, error: Exception) -> ProblemResponse:
    problem = _as_control_error(error)
    log_refusal(request.scope, problem, request.scope.get("weir.principal"))
    return ProblemResponse(problem)


def _as_control_error(error: Exception) -> ControlError:
    if isinstance(error, ControlError):
        return error
    if isinstance(error, InvalidInputError):
        return invalid(error.field, str(error), getattr(error, "code", "invalid"))
    if isinstance(error, SecretError) or getattr(error, "retryable", False):
        return StoreUnavailableError(str(error))
    return ControlError(str(error))


async def _validation_error(_request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    return ProblemResponse(InvalidFieldsError(field_errors(error.errors(), skip=1)))


async def _http_exception(request: Request, error: Exception) -> ProblemResponse:
    """Starlette's own refusals: no such path, wrong method."""
    assert isinstance(error, HTTPException)
    details = {
        404: nothing_at(request.url.path),
        405: f"{request.method} is not possible at {request.url.path}.",
    }
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _allowed_methods(request) or headers.get("Allow", "")
    return ProblemResponse(_StatusError(error.status_code, details.get(error.status_code)), headers)


def nothing_at(path: str) -> str:
    """What a 404 for a path says."""
    return f"There is nothing at {path}; GET /openapi.json lists every path."


def _allowed_methods(request: Request) -> str:
    """Every method of a path (RFC 9110, 15.5.6); the router itself knows those of one route only."""
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    for template, methods in paths.items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), request.url.path):
            return ", ".join(method.upper() for method in methods)
    return ""


async def _unexpected(request: Request, error: Exception) -> ProblemResponse:
    # As text, because a log that renders exceptions with their local variables would show secrets.
    shown = "".join(traceback.format_exception(error))
    _log.error("a request failed unexpectedly", method=request.method, path=request.url.path, traceback=shown)
    return ProblemResponse(
        ControlError("Something went wrong here; the log of the control process says what.")
    )


class _StatusError(ControlError):
    """An HTTP status that no error of ours stands for."""

    def __init__(self, status: int, detail: str | None) -> None:
        phrase = HTTPStatus(status).phrase
        super().__init__(detail or phrase)
        self.status = status
        self.title = phrase
        self.code = phrase.lower().replace(" ", "_")
