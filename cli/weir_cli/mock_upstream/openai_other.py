"""OpenAI's embeddings and models."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from typing import Any, Final

from weir_cli.mock_upstream.behaviour import PRESETS, Behaviour
from weir_cli.mock_upstream.call import Call
from weir_cli.mock_upstream.content import Content, make_usage
from weir_cli.mock_upstream.errors import BehaviourError
from weir_cli.mock_upstream.reply import Reply, encoded
from weir_cli.mock_upstream.vendor_errors import error_reply
from weir_core.usage import Usage

MODELS: Final = ("gpt-4.1", "gpt-4o-mini", "text-embedding-3-small", *PRESETS)
_DEFAULT_DIMENSIONS: Final = 8
_RELEASED: Final = 1_700_000_000


def embeddings(call: Call, behaviour: Behaviour) -> Reply:
    """``POST /v1/embeddings``: vectors derived from the text, floats or base64 as asked."""
    dimensions = call.document.get("dimensions", _DEFAULT_DIMENSIONS)
    if not isinstance(dimensions, int) or not 1 <= dimensions <= 4096:
        raise BehaviourError("dimensions must be a whole number from 1 to 4096.")
    as_base64 = call.document.get("encoding_format") == "base64"
    vectors = [_vector(text, dimensions) for text in _inputs(call.document.get("input"))]
    usage = make_usage(call, behaviour, Content((), ()))
    document: dict[str, Any] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if as_base64 else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": call.model,
    }
    if usage is not None:
        # An embedding has no response tokens, so what the prompt consumed is the whole.
        usage = Usage(prompt_tokens=usage.prompt_tokens)
        document["usage"] = {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens}
    return Reply(body=encoded(document), usage=usage)


def list_models(call: Call, behaviour: Behaviour) -> Reply:
    """``GET /v1/models``."""
    del call, behaviour
    return Reply(body=encoded({"object": "list", "data": [_model(name) for name in MODELS]}))


def get_model(call: Call, behaviour: Behaviour) -> Reply:
    """``GET /v1/models/{id}``: 404 for a model that the list does not have."""
    del behaviour
    if call.argument in MODELS:
        return Reply(body=encoded(_model(call.argument)))
    return error_reply(call, 404, f"The model '{call.argument}' does not exist", code="model_not_found")


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _RELEASED, "owned_by": "mock"}


def _inputs(given: object) -> Iterator[str]:
    if isinstance(given, list) and given and not isinstance(given[0], int):
        yield from map(str, given)
    else:
        yield str(given)


def _vector(text: str, dimensions: int) -> list[float]:
    digest = hashlib.shake_128(text.encode()).digest(dimensions)
    # Sixteenths are exact in 32 bits, so that both encodings give equal numbers.
    return [(byte - 128) / 16 for byte in digest]


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
