"""Response plugins for streams of both vendors, as tests attach them to a running gateway."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from weir_sdk import BasePlugin, Context, Response, StreamComplete


class Texts(BasePlugin):
    """Base: hands each piece of text to ``changed``; None swallows its event."""

    def __init__(self) -> None:
        super().__init__(type(self).__name__, "1.0.0", "for tests")
        self.config: dict[str, Any] = {}

    def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self.config = config

    def changed(self, ctx: Context, text: str) -> str | None:
        raise NotImplementedError

    def on_before_write(self, ctx: Context, response: Response) -> None:
        if not response.is_stream_chunk or response.body == b"[DONE]":
            return
        holder, name = _text_in(response.json())
        if holder is not None and holder.get(name):
            text = self.changed(ctx, holder[name])
            if text is None:
                response.body = b""
            else:
                holder[name] = text


class Replacing(Texts):
    """Puts ``config["to"]`` where ``config["from"]`` stood."""

    def changed(self, ctx: Context, text: str) -> str:
        return text.replace(self.config["from"], self.config["to"])


class Swallowing(Texts):
    """Swallows the pieces that hold ``config["word"]``."""

    def changed(self, ctx: Context, text: str) -> str | None:
        return None if self.config["word"] in text else text


class Holding(Texts):
    """Keeps an answer's text back, and releases it word by word, backwards, before the event that ends it."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, list[str]] = {}

    def changed(self, ctx: Context, text: str) -> None:
        self.held.setdefault(ctx.request_id, []).append(text)

    def on_before_write(self, ctx: Context, response: Response) -> None:
        end = response.body
        if end == b"[DONE]":
            events = [_openai_event(text) for text in self._backwards(ctx)]
            response.body = b"".join(events) + b"data: [DONE]\n\n"
        elif ctx.vendor == "anthropic" and response.json()["type"] == "content_block_stop":
            events = [_anthropic_event(text) for text in self._backwards(ctx)]
            response.body = b"".join(events) + b"event: content_block_stop\ndata: " + end + b"\n\n"
        else:
            super().on_before_write(ctx, response)

    def _backwards(self, ctx: Context) -> list[str]:
        return self.held.pop(ctx.request_id, [])[::-1]


class Wrapping(Texts):
    """Is shown a whole stream, and says how many events it saw in a comment before it."""

    def on_before_write(self, ctx: Context, response: Response) -> None:
        assert not response.is_stream_chunk
        events = response.body.count(b"\n\n")
        response.body = b": %d events\n\n" % events + response.body.replace(b"made up", b"checked")


class Breaking(Texts):
    """Raises at the pieces that hold ``config["word"]``."""

    def changed(self, ctx: Context, text: str) -> str:
        if self.config["word"] in text:
            raise RuntimeError("secret-detail-of-the-plugin")
        return text


class Noting(BasePlugin):
    """Writes a line to ``config["file"]`` for each finished stream."""

    def __init__(self) -> None:
        super().__init__("Noting", "1.0.0", "for tests")

    def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self.file = Path(config["file"])

    def on_stream_complete(self, ctx: Context, stream: StreamComplete) -> None:
        note = {
            "request_id": ctx.request_id,
            "bytes": len(stream.body),
            "sha256": hashlib.sha256(stream.body).hexdigest(),
            "chunk_count": stream.chunk_count,
            "asked": json.loads(stream.request_body)["model"],
        }
        with self.file.open("a") as file:
            file.write(json.dumps(note) + "\n")


def _text_in(document: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    for choice in document.get("choices", ()):
        return choice["delta"], "content"
    if document.get("type") == "content_block_delta":
        return document["delta"], "text"
    return None, ""


def _openai_event(text: str) -> bytes:
    chunk = {
        "id": "held",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "held",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _anthropic_event(text: str) -> bytes:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return b"event: content_block_delta\ndata: " + json.dumps(delta).encode() + b"\n\n"
