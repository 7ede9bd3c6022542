#!/usr/bin/env python3
"""Signs what the model says."""

from __future__ import annotations

from typing import Any

from weir_sdk import BasePlugin, Context, Response, serve


class ResponseModifier(BasePlugin):
    """Adds a header to every answer, and a closing line to the text of each OpenAI chat completion."""

    def __init__(self) -> None:
        super().__init__("response-modifier", "1.0.0", "Adds a header and a closing line to answers")
        self._closing_line = ""

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self._closing_line = config.get("closing_line", "This answer was written by a machine.")

    async def on_before_write_headers(self, ctx: Context, response: Response) -> None:
        response.headers["X-Processed-By"] = self.name

    async def on_before_write(self, ctx: Context, response: Response) -> None:
        if response.is_stream_chunk or not response.body.startswith(b"{"):
            return
        answer = response.json()
        if answer.get("object") != "chat.completion":
            return
        for choice in answer["choices"]:
            if choice["message"].get("content"):
                choice["message"]["content"] += f"\n\n{self._closing_line}"

    def get_config_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"closing_line": {"type": "string"}},
            "additionalProperties": False,
        }


if __name__ == "__main__":
    serve(ResponseModifier)
