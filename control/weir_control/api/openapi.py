"""The parts of the OpenAPI document that hold for every operation and so are written once, here."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI

from weir_control.api.problems import PROBLEM_JSON, Problem, ProblemField

_WRITES: Final = ("post", "put", "patch", "delete")
_REFERENCE: Final = "#/components/schemas/{}"
_PROBLEMS: Final = {
    "400": "The body is not JSON, or a key stands in it twice.",
    "401": "No management token, or not a valid one.",
    "403": "The token's role does not allow this.",
    "404": "There is no such object.",
    "409": "Something that exists stands against it.",
    "413": "The body is over 1 MiB.",
    "422": "A field, a parameter or an id is wrong; `errors` names each.",
    "503": "The database does not answer now.",
}


def install_openapi(app: FastAPI) -> None:
    """Complete the document that FastAPI derives from the routes."""
    derive = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(derive())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for model in (Problem, ProblemField):
        schema = model.model_json_schema(ref_template=_REFERENCE.format("{model}"))
        schema.pop("$defs", None)
        schemas[model.__name__] = schema
    for path, method, operation in _operations(document):
        operation["responses"].pop("422", None)
        if not path.startswith("/api/"):
            continue
        for status in _possible(path, method, operation):
            operation["responses"][status] = _problem(status)
        if method in _WRITES:
            _add_revision_header(operation)
        if method == "patch":
            _describe_patch(operation, document["paths"][path]["put"], schemas)
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _possible(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield from ("401", "403", "503")
    if method in _WRITES:
        yield "409"
    if "{" in path:
        yield "404"
    if "requestBody" in operation:
        yield from ("400", "413")
    if "requestBody" in operation or operation.get("parameters"):
        yield "422"


def _problem(status: str) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(Problem.__name__)}
    return {"description": _PROBLEMS[status], "content": {PROBLEM_JSON: {"schema": schema}}}


def _add_revision_header(operation: dict[str, Any]) -> None:
    header = {
        "description": "The revision that holds this change; `GET /proxies` shows which proxies have it.",
        "schema": {"type": "integer"},
    }
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            response.setdefault("headers", {})["X-Weir-Revision"] = header


def _describe_patch(patch: dict[str, Any], put: dict[str, Any], schemas: dict[str, Any]) -> None:
    """A PATCH body is the PUT body with nothing required."""
    name = put["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
    partial = copy.deepcopy(schemas[name])
    for whole_object_only in ("required", "anyOf", "examples"):
        partial.pop(whole_object_only, None)
    for field in partial["properties"].values():
        field.pop("default", None)
    partial_name = name.removesuffix("Input") + "Patch"
    partial |= {"title": partial_name, "description": "The fields to change."}
    schemas[partial_name] = partial
    patch["requestBody"]["content"] = {
        "application/json": {"schema": {"$ref": _REFERENCE.format(partial_name)}}
    }
