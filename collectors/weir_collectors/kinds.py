"""The kinds of event that are decided, each with its topic and its deciding group."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from weir_streams.events import ANALYTICS_TOPIC, BUDGET_USAGE_TOPIC, PROXY_LOG_TOPIC
from weir_streams.payloads import PAYLOAD_GROUP


class EventKind(StrEnum):
    """One of the three events of a request. The value is the name in group names, failures and status."""

    PROXY_LOG = "proxy-log"
    ANALYTICS = "analytics"
    BUDGET_USAGE = "budget-usage"

    @property
    def topic(self) -> str:
        """The topic that carries this kind and no other."""
        return _TOPICS[self]

    @property
    def group(self) -> str:
        """The consumer group that decides about this kind."""
        return f"weir.deciding.{self.value}"


_TOPICS: Final = {
    EventKind.PROXY_LOG: PROXY_LOG_TOPIC,
    EventKind.ANALYTICS: ANALYTICS_TOPIC,
    EventKind.BUDGET_USAGE: BUDGET_USAGE_TOPIC,
}

DECIDING_GROUPS: Final = {kind.topic: kind.group for kind in EventKind}
"""By topic, the group whose offset says how much of it is still needed; spool retention waits for it."""

ACCOUNTANT_GROUP: Final = "weir.accountant"
"""The consumer group that adds up what was used and spent, whoever handles it."""

REQUIRED_GROUPS: Final = (*DECIDING_GROUPS.values(), ACCOUNTANT_GROUP, PAYLOAD_GROUP)
"""What no segment of a spool may be deleted before, whatever the configuration."""
