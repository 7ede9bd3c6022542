"""The management API as an ASGI application."""

from __future__ import annotations

from typing import Final

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from weir_control.api import docs
from weir_control.api.auth import Authentication
from weir_control.api.json_body import JsonBodies
from weir_control.api.openapi import install_openapi
from weir_control.api.problems import install_problem_handlers
from weir_control.api.request_ids import RequestIds
from weir_control.deps import ControlDeps
from weir_control.principal import API_PREFIX, Principal
from weir_control.resources import (
    analytics,
    apps,
    attachments,
    audit_log,
    collectors,
    consumer_groups,
    credentials,
    dead_letters,
    edge_payloads,
    edge_reports,
    llms,
    model_prices,
    plugins,
    proxies,
    records,
    system,
    tokens,
)
from weir_control.store.tokens import find_principal
from weir_core.ids import new_id

_DESCRIPTION: Final = """\
Sets up the gateway and reads what it recorded.

* Send a management token: `Authorization: Bearer wt_...`. (Model calls take an app's credential, `wk_...`.)
* An answer is `{"data": ...}`, a list also has `pagination`; an error is `application/problem+json` whose
  `errors` name each wrong field.
* A body is JSON whatever its Content-Type, so plain `curl -d` works. Fields that do not exist are refused.
* `PATCH` changes what it names (JSON Merge Patch), `PUT` replaces.
* Every write answers its revision in `X-Weir-Revision` and is in force within a second.
"""

_TAGS: Final = [
    {
        "name": "llms",
        "description": "Upstreams that apps may call, and the plugins that work on their calls.",
    },
    {"name": "apps", "description": "Who calls, and what they may use."},
    {"name": "credentials", "description": "The secrets apps call with."},
    {"name": "plugins", "description": "Code that works on calls and events."},
    {"name": "model-prices", "description": "Your own prices, on top of the catalogue's."},
    {"name": "records", "description": "What was recorded and no collector took over."},
    {"name": "analytics", "description": "Sums of usage and cost, whoever took the events over."},
    {"name": "collectors", "description": "Who takes events over, and how that goes."},
    {"name": "consumer-groups", "description": "How far everybody is who reads events."},
    {"name": "dead-letters", "description": "What collectors did not get."},
    {"name": "edge-payloads", "description": "What the edge sent to control and nobody has taken."},
    {"name": "proxies", "description": "The processes that serve calls."},
    {"name": "tokens", "description": "Who may use this API."},
    {"name": "audit-log", "description": "Who changed what; nobody can change it."},
    {"name": "system", "description": "Is it alive, is it ready."},
]

_RESOURCES: Final = (
    llms,
    attachments,
    apps,
    credentials,
    plugins,
    model_prices,
    records,
    analytics,
    collectors,
    consumer_groups,
    dead_letters,
    edge_payloads,
    proxies,
    tokens,
    audit_log,
    edge_reports,
)


def create_app(deps: ControlDeps, version: str) -> FastAPI:
    """Make the application. It starts nothing and owns nothing of ``deps``."""
    app = FastAPI(
        title="Weir management API",
        version=version,
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        separate_input_output_schemas=False,
    )
    app.state.control = deps
    bearer = Depends(HTTPBearer(auto_error=False, description="A management token, `wt_...`."))
    for resource in _RESOURCES:
        app.include_router(resource.router, prefix=API_PREFIX, dependencies=[bearer])
    app.include_router(system.router)
    app.include_router(docs.router)
    install_problem_handlers(app)
    install_openapi(app)

    async def find(secret: str) -> Principal | None:
        return await find_principal(deps.store, secret)

    app.add_middleware(JsonBodies)
    app.add_middleware(Authentication, find=find)
    app.add_middleware(RequestIds, new_id=new_id)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
