"""What the routes work with, handed to the application when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response

from weir_control.plugins.changes import PluginChanges
from weir_control.principal import Principal
from weir_control.publisher import Publisher
from weir_control.store.store import Store
from weir_control.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlDeps:
    """The parts of a running control process."""

    store: Store
    plugin_changes: PluginChanges
    workers: Workers
    publisher: Publisher


def _control(request: Request) -> ControlDeps:
    deps: ControlDeps = request.app.state.control
    return deps


def _principal(request: Request) -> Principal:
    principal: Principal = request.scope["weir.principal"]
    return principal


Control = Annotated[ControlDeps, Depends(_control)]
Caller = Annotated[Principal, Depends(_principal)]


def stamp(response: Response, revision: int, location: str | None = None) -> None:
    """Tell the caller which revision holds the change, and where a new object is."""
    response.headers["X-Weir-Revision"] = str(revision)
    if location is not None:
        response.headers["Location"] = location


def no_content(revision: int) -> Response:
    """The answer to a deletion."""
    return Response(status_code=204, headers={"X-Weir-Revision": str(revision)})
