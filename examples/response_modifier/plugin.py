"""Signs what the model says."""

from __future__ import annotations

from typing import Any

from weir_sdk import BasePlugin, Context, Response


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
        if response.is_stream_chunk or response.status_code != 200:
            return
        for choice in response.json().get("choices", []):
            message = choice.get("message", {})
            if message.get("content"):
                message["content"] += f"\n\n{self._closing_line}"
