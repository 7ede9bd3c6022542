#!/usr/bin/env python3
"""Tells the upstream for whom a call is made."""

from __future__ import annotations

from typing import Any

from weir_sdk import BasePlugin, Context, PluginResponse, Request, serve


class RequestEnricher(BasePlugin):
    """Adds headers to every request, and names the app in the body where OpenAI looks for it."""

    def __init__(self) -> None:
        super().__init__("request-enricher", "1.0.0", "Adds headers and the end user to requests")
        self._headers: dict[str, str] = {}

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self._headers = config.get("headers", {})
        ctx.services.logger.info("request enricher is ready", headers=len(self._headers))

    async def handle_pre_auth(self, ctx: Context, request: Request) -> PluginResponse | None:
        if request.method == "POST" and not request.body:
            return PluginResponse(block=True, status_code=400, error_message="The request has no body.")
        return None

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        request.headers.update(self._headers)
        request.headers["X-App-Id"] = str(ctx.app_id)
        # Not every body is a JSON object: sound to be transcribed is not.
        if ctx.vendor == "openai" and request.body.startswith(b"{"):
            request.json().setdefault("user", f"app-{ctx.app_id}")
        ctx.metadata["enriched"] = "yes"

    def get_config_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"headers": {"type": "object", "additionalProperties": {"type": "string"}}},
            "additionalProperties": False,
        }


if __name__ == "__main__":
    serve(RequestEnricher)
