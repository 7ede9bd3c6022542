"""Events and objects like any other, but for what a test names."""

from __future__ import annotations

import itertools
from typing import Any

from weir_core.clock import rfc3339
from weir_core.objects import Attachment, CollectorOptions, Llm, Plugin
from weir_streams.events import Analytics, BudgetUsage, Latency, ProxyLog
from weir_streams.log import LogRecord, Partition

MOMENT_US = 1_800_000_000_000_000
_numbers = itertools.count(1)


def proxy_log(**changes: Any) -> ProxyLog:
    """A proxy log like any other, but for what the test names."""
    number = next(_numbers)
    fields: dict[str, Any] = {
        "event_id": f"log-{number}",
        "request_id": f"request-{number}",
        "timestamp": rfc3339(MOMENT_US + number),
        "app_id": 1,
        "llm_id": 2,
        "model_name": "gpt-4o",
        "method": "POST",
        "path": "/v1/chat/completions",
        "response_code": 200,
        "outcome": "served",
        "latency_ms": Latency(total=1.0),
    }
    return ProxyLog(**(fields | changes))


def analytics(**changes: Any) -> Analytics:
    number = next(_numbers)
    fields: dict[str, Any] = {
        "event_id": f"analytics-{number}",
        "request_id": f"request-{number}",
        "timestamp": rfc3339(MOMENT_US + number),
        "app_id": 1,
        "llm_id": 2,
    }
    return Analytics(**(fields | changes))


def budget_usage(**changes: Any) -> BudgetUsage:
    number = next(_numbers)
    fields: dict[str, Any] = {
        "event_id": f"budget-{number}",
        "request_id": f"request-{number}",
        "timestamp": rfc3339(MOMENT_US + number),
        "app_id": 1,
        "llm_id": 2,
    }
    return BudgetUsage(**(fields | changes))


def plugin(plugin_id: int = 1, slug: str = "sink", **changes: Any) -> Plugin:
    """An active collector; ``collector`` options may be given by their own names."""
    options = {
        name: changes.pop(name) for name in list(changes) if name in CollectorOptions.__struct_fields__
    }
    fields: dict[str, Any] = {
        "id": plugin_id,
        "name": slug,
        "slug": slug,
        "command": "python://example:Collector",
        "hook_types": ("data_collection",),
        "collector": CollectorOptions(**options),
    }
    return Plugin(**(fields | changes))


def llm(llm_id: int, *plugin_ids: int) -> Llm:
    return Llm(
        id=llm_id,
        name=f"llm {llm_id}",
        slug=f"llm-{llm_id}",
        vendor="openai",
        api_endpoint="http://localhost",
        attachments=tuple(Attachment(plugin_id=plugin_id) for plugin_id in plugin_ids),
    )


def record(value: bytes, offset: int = 0, topic: str = "weir.proxy-log.v1", name: str = "spool") -> LogRecord:
    return LogRecord(Partition(topic, name), offset, b"1", value)
