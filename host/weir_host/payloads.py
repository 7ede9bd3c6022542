"""Where the payloads that plugins send to control go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class PayloadQueue(Protocol):
    """Keeps payloads until control has them."""

    async def send(
        self,
        plugin_id: int,
        plugin_slug: str,
        payload: bytes,
        correlation_id: str,
        metadata: Mapping[str, str],
        /,
    ) -> int:
        """Keep one payload; returns when it is durable, with how many of this edge have no result yet.

        Raises:
            WeirError: It is not kept. Retryable: there is no room now; else it is too large when encoded.
        """
        ...
