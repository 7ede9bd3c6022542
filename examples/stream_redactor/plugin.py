#!/usr/bin/env python3
"""Takes words out of what the model says, also where a stream has cut them in two."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from weir_sdk import BasePlugin, Context, Response, StreamComplete, serve


class StreamRedactor(BasePlugin):
    """Puts a mask where a word stood, in OpenAI chat completions, streamed or not.

    A stream brings "sec" and "ret" in two events. So the end of the text is held back for as long as it may
    be the beginning of a word, and goes out with the next event, or with the one that ends the text.
    """

    def __init__(self) -> None:
        super().__init__("stream-redactor", "1.0.0", "Masks words in answers and streams")
        self._held: defaultdict[str, dict[int, str]] = defaultdict(dict)

    async def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self._words = [word.lower() for word in config["words"]]
        self._pattern = re.compile("|".join(map(re.escape, self._words)), re.IGNORECASE)
        self._mask: str = config.get("mask", "***")

    async def on_before_write(self, ctx: Context, response: Response) -> None:
        if not response.body.startswith(b"{"):
            return
        for choice in response.json().get("choices") or ():
            if choice and "delta" in choice:
                self._redact_piece(self._held[ctx.request_id], choice)
            elif choice and (choice.get("message") or {}).get("content"):
                choice["message"]["content"] = self._masked(choice["message"]["content"])

    async def on_stream_complete(self, ctx: Context, stream: StreamComplete) -> None:
        # Also called when the client hung up: nothing is kept of a stream that is over.
        self._held.pop(ctx.request_id, None)

    def _redact_piece(self, held: dict[int, str], choice: dict[str, Any]) -> None:
        delta, index = choice["delta"], choice.get("index", 0)
        text = self._masked(held.pop(index, "") + (delta.get("content") or ""))
        if not choice.get("finish_reason"):
            text, held[index] = self._cut(text)
        if text or delta.get("content"):
            delta["content"] = text

    def _cut(self, text: str) -> tuple[str, str]:
        """What can go out, and the end that may yet become a word."""
        longest = max(map(len, self._words)) - 1
        for start in range(max(0, len(text) - longest), len(text)):
            if any(word.startswith(text[start:].lower()) for word in self._words):
                return text[:start], text[start:]
        return text, ""

    def _masked(self, text: str) -> str:
        return self._pattern.sub(self._mask, text)

    def get_config_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {
                "words": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
                "mask": {"type": "string"},
            },
            "required": ["words"],
            "additionalProperties": False,
        }


if __name__ == "__main__":
    serve(StreamRedactor)
