"""A sink that can be taken away, and what it got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from weir_sdk import DataCollectionResponse


class Sink:
    """Handlers for a ``FakeInstance``: they fail as ``failing`` says, or note the event's id."""

    def __init__(self, *, handled: bool = True) -> None:
        self.got: Counter[str] = Counter()
        self.calls = 0
        self.goes_after: int | None = None
        self.failing: Exception | None = None
        self.refused: dict[str, Exception] = {}
        self._handled = handled

    def goes(self) -> None:
        """From now on nobody can connect to it."""
        self.failing = ConnectionError("connection refused")

    def returns(self) -> None:
        """From now on it takes what it is given."""
        self.failing = self.goes_after = None

    async def take(self, message: Any) -> DataCollectionResponse:
        self.calls += 1
        if self.goes_after is not None and len(self.got) >= self.goes_after:
            self.goes()
        error = self.failing or self.refused.get(message.event_id)
        if error is not None:
            raise error
        self.got[message.event_id] += 1
        return DataCollectionResponse(handled=self._handled)

    async def take_batch(self, messages: Sequence[Any]) -> list[DataCollectionResponse]:
        return [await self.take(message) for message in messages]
