"""A body that can be worked on as bytes or as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from weir_sdk.errors import BodyNotJsonError


class JsonBody:
    """``body`` and ``json()`` as two views of one thing.

    What ``json()`` returns may be changed in place: ``body`` then shows the change. A body that was only read
    stays as it is, byte for byte.
    """

    __slots__ = ("_as_parsed", "_body", "_parsed")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._parsed: Any = None
        self._as_parsed: bytes | None = None

    @property
    def body(self) -> bytes:
        """The bytes, with changes to what ``json()`` returned written back.

        Raises:
            BodyNotJsonError: Something was put into the parsed body that JSON cannot say.
        """
        if self._as_parsed is not None:
            self._write_back(self._as_parsed)
        return self._body

    @body.setter
    def body(self, body: bytes) -> None:
        self._body = body
        self._as_parsed = None

    def json(self) -> Any:
        """The parsed body; the same object at every call, until ``body`` is set.

        Raises:
            BodyNotJsonError: The body is empty or not JSON.
        """
        if self._as_parsed is None:
            try:
                self._parsed = msgspec.json.decode(self._body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise BodyNotJsonError(f"the body is not JSON: {error}; use .body for its bytes") from error
            self._as_parsed = msgspec.json.encode(self._parsed)
        return self._parsed

    def _write_back(self, as_parsed: bytes) -> None:
        # Encodings are compared, not objects: to Python, 1, 1.0 and True are equal.
        try:
            now = msgspec.json.encode(self._parsed)
        except (TypeError, ValueError, RecursionError) as error:
            raise BodyNotJsonError(f"the changed body cannot be written as JSON: {error}") from error
        if now != as_parsed:
            self._body = self._as_parsed = now
