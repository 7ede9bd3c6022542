"""Plugins for the tests of ``weir plugin``, each as a class and as a program that serves it."""

from __future__ import annotations

from pathlib import Path

EDITOR = '''
from weir_sdk import BasePlugin, Context, DataCollectionResponse, PluginResponse, serve


class Editor(BasePlugin):
    """Does what its configuration says."""

    def initialize(self, ctx, config):
        self.config = config
        if config.get("print"):
            print("a plugin prints")

    async def handle_pre_auth(self, ctx, request):
        ctx.metadata["seen"] = "yes"
        if b"refuse me" in request.body:
            return PluginResponse(block=True, status_code=451, error_message="No.")
        if b"answer me" in request.body:
            return PluginResponse(block=True, status_code=200, body=b'{"cached": true}')

    async def handle_post_auth(self, ctx, request):
        if b"fail" in request.body:
            raise ValueError("it was asked to fail")
        if request.body.startswith(b"{"):
            request.json()["user"] = f"app-{ctx.app_id}"
        request.headers["X-App"] = str(ctx.app_id)

    async def on_before_write(self, ctx, response):
        if response.is_stream_chunk and b"drop" in response.body:
            response.body = b""
        else:
            response.body = response.body.replace(b"red", b"blue")

    async def handle_analytics(self, ctx, event):
        if event.cost is None:
            return DataCollectionResponse(success=False, error_message="no cost", retryable=False)
        ctx.services.logger.info("taken", event_id=event.event_id)
        return DataCollectionResponse(handled=True)

    def get_config_schema(self):
        return {"type": "object", "properties": {"print": {"type": "boolean"}}, "additionalProperties": False}


if __name__ == "__main__":
    serve(Editor)
'''

READER = '''
from weir_sdk import BasePlugin, serve


class Reader(BasePlugin):
    """Asks the gateway who calls."""

    async def handle_post_auth(self, ctx, request):
        app = await ctx.services.gateway.get_app(ctx.app_id)
        request.headers["X-App-Name"] = app.name


if __name__ == "__main__":
    serve(Reader)
'''


def write(directory: Path, name: str, source: str) -> Path:
    """A program of this name, whose class a test can import as well."""
    path = directory / f"{name}.py"
    path.write_text(source)
    return path
