"""The plugin of the hook scenarios: the least that a useful post_auth hook does."""

from __future__ import annotations

from weir_sdk import BasePlugin, Context, PostAuthHandler, Request


class SetHeader(BasePlugin, PostAuthHandler):
    """Sets one request header, in an async hook."""

    def __init__(self) -> None:
        super().__init__("set-header", "1.0.0", "Sets one header")

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        """Return nothing: the change to the request stands."""
        request.headers["X-Bench"] = ctx.llm_slug
