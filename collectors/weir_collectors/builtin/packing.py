"""Events as bytes, divided into requests of a bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from weir_sdk import Event


class Item(NamedTuple):
    """An event and what the sink is sent of it."""

    event: Event
    data: bytes


class Full(NamedTuple):
    """When a request is full: at so many events or so many bytes, whichever comes first."""

    events: int
    size: int

    def reached_by(self, items: Sequence[Item]) -> bool:
        """Whether waiting for more would not make the next request larger."""
        return len(items) >= self.events or sum(len(item.data) for item in items) >= self.size


def in_requests(items: Iterable[Item], full: Full) -> Iterator[list[Item]]:
    """Divide, in order. An item that is larger than a request may be has one to itself."""
    request: list[Item] = []
    size = 0
    for item in items:
        if request and (len(request) >= full.events or size + len(item.data) > full.size):
            yield request
            request, size = [], 0
        request.append(item)
        size += len(item.data)
    if request:
        yield request
