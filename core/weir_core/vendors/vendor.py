"""What all vendors have in common: a table of operations, a place for the key, a shape for errors."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final
from urllib.parse import unquote

from weir_core.vendors.operation import Operation

CREDENTIAL_HEADERS: Final = frozenset({"authorization", "x-api-key", "x-goog-api-key", "api-key"})

VERSION_SEGMENT: Final = r"/v[0-9]+(?:(?:alpha|beta)[0-9]*)?"
_LEADING_VERSION: Final = re.compile(rf"({VERSION_SEGMENT})(?=/)")
_TRAILING_VERSION: Final = re.compile(rf"{VERSION_SEGMENT}\Z")
_PARAMETER: Final = re.compile(r"\\\{\w+\\\}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._:@~+-]+")


class Vendor(ABC):
    """A vendor of language models, as the gateway talks to it and for it.

    Args:
        name: The name by which configuration refers to it.
        operations: Its table; a call outside it is not supported.
        version: The version segment of its API, such as ``v1``: calls may carry it or leave it out, and it is
            added where neither the call nor the endpoint has one. None accepts any and adds none.
    """

    credential_headers: ClassVar[frozenset[str]] = CREDENTIAL_HEADERS
    """Lower-case names of every header in which a client of any vendor may carry its key."""

    request_id_header: ClassVar[str] = "x-request-id"
    """The response header in which the vendor, and its client library, keep the request id."""

    default_headers: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Headers that the vendor insists on, for calls whose client sent none of that name."""

    _endpoint_version: ClassVar[re.Pattern[str]] = _TRAILING_VERSION
    """Finds the version segment in an endpoint that makes the call's own one too many."""

    def __init__(self, name: str, operations: Sequence[Operation], version: str | None = None) -> None:
        self.name = name
        self.operations = tuple(operations)
        self._version = f"/{version}" if version else ""
        self._fixed: dict[tuple[str, str], Operation] = {}
        self._with_parameter: list[tuple[str, re.Pattern[str], Operation]] = []
        for operation in operations:
            if "{" in operation.path:
                self._with_parameter.append((operation.method, _template(operation.path), operation))
            else:
                self._fixed[operation.method, operation.path] = operation

    def match(self, method: str, path: str) -> Operation | None:
        """The operation that a call means, None when it is none of this vendor's table.

        Args:
            method: The HTTP method, upper-case.
            path: The vendor's own path as the client sent it, with or without the version segment.
        """
        bare = self._without_version(path)
        operation = self._fixed.get((method, bare))
        if operation is not None:
            return operation
        for wanted, template, candidate in self._with_parameter:
            if method == wanted and (found := template.fullmatch(bare)) is not None:
                return candidate if all(map(_is_plain, found.groups())) else None
        return None

    def upstream_url(self, api_endpoint: str, path: str, query: str) -> str:
        """Where a call goes.

        The endpoint's base path is kept. Where both it and the call carry a version segment, the endpoint's
        counts and stands once.

        Args:
            api_endpoint: The admin's ``http(s)://host[:port][/base]``, without a query.
            path: The path that ``match`` took.
            query: What follows the question mark, without the caller's key.
        """
        base = api_endpoint.rstrip("/")
        carried = _LEADING_VERSION.match(path)
        # The path begins behind "http://h" at the earliest, so that a host called v1 is no version.
        if self._endpoint_version.search(base, 8) is not None:
            path = path[carried.end() :] if carried is not None else path
        elif carried is None:
            path = self._version + path
        return f"{base}{path}?{query}" if query else base + path

    def _without_version(self, path: str) -> str:
        carried = _LEADING_VERSION.match(path)
        if carried is None or self._version not in ("", carried.group()):
            return path
        return path[carried.end() :]

    @abstractmethod
    def upstream_auth_headers(self, api_key: str) -> list[tuple[str, str]]:
        """The headers, lower-case, that carry the vendor's own key."""

    @abstractmethod
    def error(
        self, status: int, code: str, message: str, request_id: str, *, field: str | None = None
    ) -> bytes:
        """The JSON body of the gateway's own refusal, in the shape that the vendor's client library reads.

        Args:
            status: The HTTP status that goes with it; the vendor's type of error follows from it.
            code: The gateway's stable name for the reason.
            message: What happened and what to do about it.
            request_id: The id under which the call is recorded.
            field: The member of the request that is at fault, where there is one.
        """

    @abstractmethod
    def sse_error(self, status: int, code: str, message: str, request_id: str) -> bytes:
        """The same as one server-sent event, for a stream whose headers have gone out."""


def _template(path: str) -> re.Pattern[str]:
    return re.compile(_PARAMETER.sub("([^/]+)", re.escape(path)))


def _is_plain(parameter: str) -> bool:
    """Whether a path parameter, decoded once, is a name and can never be taken for another path.

    An encoded slash is part of some models' names; an empty, ``.`` or ``..`` part would climb.
    """
    parts = unquote(parameter).split("/")
    return all(_SEGMENT.fullmatch(part) is not None and part.strip(".") for part in parts)
