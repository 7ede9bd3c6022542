"""Reads every body before the framework does, and lets through only JSON that means one thing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weir_control.api.problems import ProblemResponse
from weir_control.api.validation import path_text
from weir_control.errors import (
    BodyTooLargeError,
    ControlError,
    FieldError,
    InvalidFieldsError,
    MalformedBodyError,
    invalid,
)

MAX_BODY_BYTES: Final = 1024 * 1024
_MAX_DEPTH: Final = 32
_MAX_ERRORS: Final = 20
_METHODS_WITH_BODY: Final = frozenset(("POST", "PUT", "PATCH"))

_Path = tuple[str | int, ...]


class JsonBodies:
    """ASGI middleware: a body that is a JSON object is JSON whatever its Content-Type says.

    So ``curl -d '{...}'`` works without a header. Everything else is refused here: bodies over the limit
    (413), malformed JSON and duplicate keys (400), and values that could not be stored faithfully (422).
    """

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _METHODS_WITH_BODY:
            await self._app(scope, receive, send)
            return
        try:
            body = await _read(receive, self._max_bytes)
            if body is None:
                return
            if body:
                check_object(body)
        except ControlError as error:
            await ProblemResponse(error)(scope, receive, send)
            return
        await self._app(_declared_as_json(scope), _Replay(body, receive), send)


def check_object(body: bytes) -> None:
    """Check that ``body`` is one JSON object that can be stored as it stands.

    Raises:
        MalformedBodyError: Not UTF-8, not JSON, nested too deeply to read, or a key stands twice.
        InvalidFieldsError: Not an object; or a value that databases and other readers cannot keep: a NUL or
            half a surrogate pair in a string, an integer beyond 64 bits, a number beyond a double, more than
            32 levels of nesting.
    """
    document = _parse(body)
    if not isinstance(document, dict):
        raise invalid("", "the body must be a JSON object", "wrong_type")
    errors = []
    for error in _unfit(document):
        errors.append(error)
        if len(errors) == _MAX_ERRORS:
            break
    if errors:
        raise InvalidFieldsError(errors)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise MalformedBodyError("The body is not UTF-8.") from error
    except RecursionError as error:
        raise MalformedBodyError("The body is nested too deeply.") from error
    except json.JSONDecodeError as error:
        raise MalformedBodyError(
            f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    except ValueError as error:
        raise MalformedBodyError("The body holds a number with too many digits.") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            shown = _printable(key)
            raise MalformedBodyError(
                f"The key {shown!r} stands twice in one object; send it once.",
                [FieldError(shown, "duplicate_key", "stands twice in one object")],
            )
        result[key] = value
    return result


def _refuse_constant(name: str) -> Any:
    raise MalformedBodyError(f"{name} is not JSON; send a number or null.")


def _unfit(document: dict[str, Any]) -> Iterator[FieldError]:
    """Walk without recursion: the nesting is the sender's choice."""
    waiting: list[tuple[_Path, Any]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict | list):
            if len(path) >= _MAX_DEPTH:
                yield _error(path, f"is nested more than {_MAX_DEPTH} levels deep")
                continue
            children = value.items() if isinstance(value, dict) else enumerate(value)
            for key, child in children:
                if isinstance(key, str) and _unfit_text(key):
                    yield _error(path, "has a key with a NUL character or half a surrogate pair")
                else:
                    waiting.append(((*path, key), child))
        elif isinstance(value, str) and _unfit_text(value):
            yield _error(path, "holds a NUL character or half a surrogate pair")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            yield _error(path, "is an integer beyond 64 bits")
        elif isinstance(value, float) and value in (float("inf"), float("-inf")):
            yield _error(path, "is a number too large to keep")


def _unfit_text(text: str) -> bool:
    return "\0" in text or (not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text))


def _error(path: _Path, message: str) -> FieldError:
    return FieldError(path_text(path), "invalid", message)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


async def _read(receive: Receive, max_bytes: int) -> bytes | None:
    """The whole body, or None when the client went away before it was sent."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise BodyTooLargeError(f"The body is larger than {max_bytes} bytes.")
        if not message.get("more_body", False):
            return bytes(body)


def _declared_as_json(scope: Scope) -> Scope:
    headers = [item for item in scope["headers"] if item[0] != b"content-type"]
    return {**scope, "headers": [*headers, (b"content-type", b"application/json")]}


class _Replay:
    """Hands the body that was read on to the framework, then whatever the server says next."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
