"""What a call left behind, once everything before it has been worked off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2
from tests.support.gateway import Gateway

KINDS = ("proxy-logs", "analytics", "budget-usage")


@dataclass(frozen=True)
class Family:
    """All records of one request id, by kind."""

    proxy_logs: list[dict[str, Any]]
    analytics: list[dict[str, Any]]
    budget_usage: list[dict[str, Any]]

    @property
    def log(self) -> dict[str, Any]:
        assert len(self.proxy_logs) == 1, self.proxy_logs
        return self.proxy_logs[0]

    @property
    def sole_analytics(self) -> dict[str, Any]:
        assert len(self.analytics) == 1, self.analytics
        return self.analytics[0]

    @property
    def sole_budget(self) -> dict[str, Any]:
        assert len(self.budget_usage) == 1, self.budget_usage
        return self.budget_usage[0]

    @property
    def sizes(self) -> tuple[int, int, int]:
        return len(self.proxy_logs), len(self.analytics), len(self.budget_usage)


class Families:
    """Reads families; a marker call behind them tells when nothing more of them can come.

    Events of one worker are consumed in order, so when the marker's records are there, those of every
    earlier call are, too.
    """

    def __init__(self, gateway: Gateway, marker_url: str, secret: str) -> None:
        self._gateway = gateway
        self._url = marker_url
        self._headers = {"authorization": f"Bearer {secret}"}

    async def settled(self) -> None:
        """Wait until every call before this one has been worked off."""
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "marker"}]}
        async with httpx2.AsyncClient() as client:
            answer = await client.post(self._url, headers=self._headers, json=body)
        assert answer.status_code == 200, answer.text
        for kind in KINDS:
            await self._gateway.recorded(kind, 1, request_id=answer.headers["x-request-id"])

    async def of(self, request_id: str) -> Family:
        """The whole family of one request, final."""
        await self.settled()
        return await self.now(request_id)

    async def awaited(self, request_id: str) -> Family:
        """The whole family of a request whose end nobody was told."""
        await self._gateway.recorded("proxy-logs", 1, request_id=request_id)
        return await self.of(request_id)

    async def since(self, moment: str) -> dict[str, Family]:
        """The families of all calls since then, by request id, as far as they are recorded now."""
        found: dict[str, Family] = {}
        for number, kind in enumerate(KINDS):
            for record in await self._gateway.records(kind, **{"from": moment}):
                family = found.setdefault(record["request_id"], Family([], [], []))
                (family.proxy_logs, family.analytics, family.budget_usage)[number].append(record)
        return found

    async def now(self, request_id: str) -> Family:
        """The family as far as it is recorded now."""
        found = [await self._gateway.records(kind, request_id=request_id) for kind in KINDS]
        return Family(*found)
