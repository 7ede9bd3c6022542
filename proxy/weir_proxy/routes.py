"""What a path means: which LLM, in which mode, and which of its vendor's paths."""

from __future__ import annotations

from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from weir_proxy.errors import RefusalError

Mode = Literal["rest", "stream", "call"]

_SLUG_PREFIXES: dict[str, Mode] = {"/llm/rest/": "rest", "/llm/stream/": "stream", "/llm/call/": "call"}
_BY_ID_PREFIX = "/api/v1/llms/"


class LlmRoute(NamedTuple):
    """A path that names an LLM: by slug or by id, and what remains for its vendor (``/v1/...``)."""

    mode: Mode
    slug: str | None
    llm_id: int | None
    native_path: str


def match_llm(raw_path: str) -> LlmRoute | None:
    """Find the LLM a path names; None when it is no LLM path at all.

    Args:
        raw_path: The path as sent, still percent-encoded.
    """
    for prefix, mode in _SLUG_PREFIXES.items():
        if raw_path.startswith(prefix):
            slug, slash, rest = raw_path[len(prefix) :].partition("/")
            return LlmRoute(mode, slug, None, slash + rest)
    if raw_path.startswith(_BY_ID_PREFIX):
        number, _, rest = raw_path[len(_BY_ID_PREFIX) :].partition("/")
        if number.isascii() and number.isdecimal() and len(number) <= 10 and rest.startswith("proxy/"):
            return LlmRoute("call", None, int(number), rest[len("proxy") :])
    return None


def clean_native_path(path: str) -> str:
    """Return the vendor's path as the operation tables know it, percent-escapes of plain characters undone.

    An encoded slash stays encoded, so that only a path parameter of a table can match it.

    Raises:
        RefusalError: 400 for ``..``, ``//``, a backslash, a control character or a broken escape.
    """
    if "%" in path:
        path = "/".join(_decode_segment(segment) for segment in path.split("/"))
    if "//" in path or "\\" in path or not path.isprintable():
        raise _bad_path("it has an empty segment, a backslash or a control character")
    if "/." in path and any(segment in (".", "..") for segment in path.split("/")):
        raise _bad_path("it has a '.' or '..' segment")
    return path


def _decode_segment(segment: str) -> str:
    try:
        decoded = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad_path("its percent-escapes are not UTF-8") from error
    if decoded in (".", ".."):
        raise _bad_path("it has a '.' or '..' segment")
    return decoded.replace("%", "%25").replace("/", "%2F")


def _bad_path(reason: str) -> RefusalError:
    return RefusalError(
        400, "invalid_path", f"The request path was refused: {reason}. Send the plain API path."
    )
