#!/usr/bin/env python3
"""Lets callers in by a token of your own, in place of the gateway's credentials."""

from __future__ import annotations

import hmac
from typing import Any

from weir_sdk import BasePlugin, Context, Credential, PluginResponse, Request, serve


class CustomAuth(BasePlugin):
    """Compares the bearer token with the one in the plugin's configuration."""

    def __init__(self) -> None:
        super().__init__("custom-auth", "1.0.0", "Custom token authentication plugin")
        self._valid_token = ""

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self._valid_token = config["valid_token"]
        ctx.services.logger.info("custom auth is ready", runtime=ctx.runtime)

    async def handle_auth(self, ctx: Context, request: Request) -> PluginResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if hmac.compare_digest(token.encode(), self._valid_token.encode()):
            return PluginResponse(
                credential=Credential(
                    user_id="plugin-user", username="Plugin User", claims={"source": "custom-auth-plugin"}
                )
            )
        ctx.services.logger.warning("caller refused", request_id=ctx.request_id, token_given=bool(token))
        return PluginResponse(
            block=True,
            status_code=401,
            error_message="Invalid token",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def get_config_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"valid_token": {"type": "string", "minLength": 1}},
            "required": ["valid_token"],
            "additionalProperties": False,
        }


if __name__ == "__main__":
    serve(CustomAuth)
