"""The page at ``/docs``: reads ``/openapi.json`` and sends requests. It needs nothing from other hosts."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

router = APIRouter(include_in_schema=False)

DOCS_PATHS: Final = ("/docs", "/docs/page.js", "/docs/page.css")

# Scripts and styles of this origin only: a text that got into the page as markup could not run.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@router.get("/docs")
def page() -> Response:
    """The page itself."""
    return _file("index.html", "text/html")


@router.get("/docs/page.js")
def script() -> Response:
    """What it runs."""
    return _file("page.js", "text/javascript")


@router.get("/docs/page.css")
def style() -> Response:
    """How it looks."""
    return _file("page.css", "text/css")


def _file(name: str, media_type: str) -> Response:
    content = files("weir_control").joinpath("docs_page", name).read_bytes()
    return Response(content, media_type=media_type, headers={"Content-Security-Policy": _POLICY})
