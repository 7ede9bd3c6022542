"""Header maps as plugins see them: one value a name, under the name's canonical form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeVar, overload

_Default = TypeVar("_Default")

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2


@lru_cache(maxsize=4096)
def canonical_name(name: str) -> str:
    """Return the form that Go's ``net/http`` gives a header name: ``x-api-key`` becomes ``X-Api-Key``.

    A name that no header can have is returned as it is.
    """
    if _TOKEN.fullmatch(name) is None:
        return name
    return "-".join(part.capitalize() for part in name.split("-"))


class Headers(dict[str, str]):
    """A ``dict`` of headers whose names may be given in any case.

    Names are kept in their canonical form, so iterating yields ``Content-Type``, whatever was set. A repeated
    header shows its first value only.
    """

    __slots__ = ()

    def __init__(self, items: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        super().__init__()
        self.update(items)

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]]) -> Headers:
        """Build from a header list that may repeat names; the first value of a name wins."""
        headers = cls()
        keep_first = super(Headers, headers).setdefault
        for name, value in pairs:
            keep_first(canonical_name(name), value)
        return headers

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(canonical_name(name))

    def __setitem__(self, name: str, value: str) -> None:
        super().__setitem__(canonical_name(name), value)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(canonical_name(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(canonical_name(name))

    def __ior__(self, other: Any) -> Headers:  # type: ignore[override,misc]  # dict's has overloads we do not need
        self.update(other)
        return self

    @overload
    def get(self, name: str, default: None = None, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str, /) -> str: ...
    @overload
    def get(self, name: str, default: _Default, /) -> str | _Default: ...
    def get(self, name: str, default: object = None, /) -> object:
        """The value, or ``default`` where there is none."""
        return super().get(canonical_name(name), default)

    @overload
    def pop(self, name: str, /) -> str: ...
    @overload
    def pop(self, name: str, default: str, /) -> str: ...
    @overload
    def pop(self, name: str, default: _Default, /) -> str | _Default: ...
    def pop(self, name: str, /, *default: object) -> object:
        """Remove a header and return its value; ``KeyError`` when absent and no default is given."""
        return super().pop(canonical_name(name), *default)

    def setdefault(self, name: str, default: str = "", /) -> str:
        """Set a header unless it is there; return what stands in the end."""
        return super().setdefault(canonical_name(name), default)

    def update(self, *others: Mapping[str, str] | Iterable[tuple[str, str]], **more: str) -> None:  # type: ignore[override]  # one signature for dict's overloads
        """Overwrite by name; of names that differ only in case, the last wins."""
        for other in (*others, more):
            pairs = other.items() if isinstance(other, Mapping) else other
            for name, value in pairs:
                self[name] = value

    def copy(self) -> Headers:
        """An independent copy."""
        twin = Headers.__new__(Headers)
        dict.update(twin, self)  # the names are canonical already
        return twin
