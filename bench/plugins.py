"""The plugins of the hook scenarios: the least that a useful hook does."""

from __future__ import annotations

from weir_sdk import BasePlugin, Context, PostAuthHandler, Request, Response


class SetHeader(BasePlugin, PostAuthHandler):
    """Sets one request header, in an async hook."""

    def __init__(self) -> None:
        super().__init__("set-header", "1.0.0", "Sets one header")

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        """Return nothing: the change to the request stands."""
        request.headers["X-Bench"] = ctx.llm_slug


class ChangeChunks(BasePlugin):
    """Changes every event of a stream, in an async hook; not its length, which the load generator checks."""

    def __init__(self) -> None:
        super().__init__("change-chunks", "1.0.0", "Changes every event")

    async def on_before_write(self, ctx: Context, response: Response) -> None:
        """Return nothing: the change to the answer stands."""
        response.body = response.body.replace(b"gpt", b"GPT")
