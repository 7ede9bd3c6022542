"""Events as a collector is handed them: the proxy's own, read again as the SDK's messages."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from tests.fakes.gateway_events import analytics, budget_usage, proxy_log

import weir_sdk
from weir_streams.events import Analytics, BudgetUsage, Event, ProxyLog

_MESSAGES: Final = {
    ProxyLog: weir_sdk.ProxyLog,
    Analytics: weir_sdk.Analytics,
    BudgetUsage: weir_sdk.BudgetUsage,
}


def as_message(event: Event) -> weir_sdk.Event:
    message: weir_sdk.Event = msgspec.json.decode(msgspec.json.encode(event), type=_MESSAGES[type(event)])
    return message


def a_log(**changes: Any) -> weir_sdk.Event:
    return as_message(proxy_log(**changes))


def a_usage(**changes: Any) -> weir_sdk.Event:
    return as_message(analytics(**changes))


def a_budget(**changes: Any) -> weir_sdk.Event:
    return as_message(budget_usage(**changes))
