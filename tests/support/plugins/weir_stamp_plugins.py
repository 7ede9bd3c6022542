"""Plugins that stamp everything they touch with their name and version; as a script, ``file://``.

A stamp is added behind those of the plugins before, so the row of stamps tells their order.
"""

from __future__ import annotations

from typing import Any

from weir_sdk import BasePlugin, Context, Request, Response, serve


class Stamping(BasePlugin):
    """Config: ``name`` and ``version`` of its stamp, and ``refuse``, with which it does not start."""

    build = "a"

    def __init__(self) -> None:
        super().__init__("stamping", "1.0.0", "for tests")

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        if config.get("refuse"):
            raise ValueError("this config will not do")
        self.stamp = f"{config['name']}={self.build}{config['version']}"

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        request.headers["x-asked"] = self._behind(request.headers.get("x-asked"))

    async def on_before_write_headers(self, ctx: Context, response: Response) -> None:
        response.headers["x-answered"] = self._behind(response.headers.get("x-answered"))

    async def on_before_write(self, ctx: Context, response: Response) -> None:
        if response.body != b"[DONE]":
            document = response.json()
            document["stamps"] = self._behind(document.get("stamps"))

    def _behind(self, stamps: str | None) -> str:
        return f"{stamps},{self.stamp}" if stamps else self.stamp


class Restamping(Stamping):
    """Another command for the same."""

    build = "b"


if __name__ == "__main__":
    serve(Stamping)
