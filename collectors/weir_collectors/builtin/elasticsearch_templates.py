"""The templates of the Elasticsearch collector's indices: which fields they have, and how to install them.

An index template for each kind of event, made of component templates: what the kinds share, what is the
kind's own, and ``<prefix>@custom`` and ``<prefix>-<kind>@custom``, which are an admin's. Bump ``VERSION``
with every change here: what the cluster has in that version or a newer one is left alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from elasticsearch import AsyncElasticsearch, NotFoundError

VERSION: Final = 1
KINDS: Final = ("proxy-logs", "analytics", "budget")
_META: Final = {"managed_by": "weir"}

_Mapping = dict[str, Any]

# Ten times Elasticsearch's own habit; without it, a longer value would refuse the whole document.
_KEYWORD: Final[_Mapping] = {"type": "keyword", "ignore_above": 1024}
_LONG: Final[_Mapping] = {"type": "long"}
_DOUBLE: Final[_Mapping] = {"type": "double"}
_BOOLEAN: Final[_Mapping] = {"type": "boolean"}
_DATE: Final[_Mapping] = {"type": "date"}
# A budget event without a budget has no period, and says so with an empty text.
_DATE_OR_EMPTY: Final[_Mapping] = {"type": "date", "ignore_malformed": True}
_TEXT: Final[_Mapping] = {"type": "text"}
# What plugins and applications name themselves: kept, but no source of fields without end.
_KEPT: Final[_Mapping] = {"type": "object", "enabled": False}
_ATTEMPTS: Final[_Mapping] = {
    "properties": {
        "llm_id": _LONG,
        "status": _LONG,
        "error": _KEYWORD,
        "upstream_request_id": _KEYWORD,
        "latency_ms": _DOUBLE,
    }
}


def _alias(path: str) -> _Mapping:
    return {"type": "alias", "path": path}


_SHARED: Final[_Mapping] = {
    "@timestamp": _DATE,
    "timestamp": _DATE,
    "event_id": _KEYWORD,
    "spool_id": _KEYWORD,
    "spool_seq": _LONG,
    "request_id": _KEYWORD,
    "client_request_id": _KEYWORD,
    "trace_id": _KEYWORD,
    "edge_id": _KEYWORD,
    "edge_namespace": _KEYWORD,
    "app_id": _LONG,
    "user_id": _KEYWORD,
    "credential_id": _LONG,
    "llm_id": _LONG,
    "llm_slug": _KEYWORD,
    "vendor": _KEYWORD,
    "event.id": _alias("event_id"),
    "trace.id": _alias("trace_id"),
    "user.id": _alias("user_id"),
    "gen_ai.provider.name": _alias("vendor"),
    "gen_ai.system": _alias("vendor"),
}
_USAGE: Final[_Mapping] = {
    "prompt_tokens": _LONG,
    "response_tokens": _LONG,
    "cost": _DOUBLE,
    "currency": _KEYWORD,
    "gen_ai.usage.input_tokens": _alias("prompt_tokens"),
    "gen_ai.usage.output_tokens": _alias("response_tokens"),
}
_MODEL: Final[_Mapping] = {"model_name": _KEYWORD, "gen_ai.request.model": _alias("model_name")}
_OWN: Final[Mapping[str, _Mapping]] = {
    "proxy-logs": {
        **_MODEL,
        "method": _KEYWORD,
        "path": _KEYWORD,
        "response_code": _LONG,
        "outcome": _KEYWORD,
        "blocked_by": _KEYWORD,
        "stream": _BOOLEAN,
        "chunk_count": _LONG,
        "latency_ms": {
            "properties": {"total": _DOUBLE, "upstream": _DOUBLE, "first_byte": _DOUBLE, "plugins": _KEPT}
        },
        "request_bytes": _LONG,
        "response_bytes": _LONG,
        "request_body": _TEXT,
        "request_body_encoding": _KEYWORD,
        "request_body_truncated": _BOOLEAN,
        "request_body_sha256": _KEYWORD,
        "response_body": _TEXT,
        "response_body_encoding": _KEYWORD,
        "response_body_truncated": _BOOLEAN,
        "response_body_sha256": _KEYWORD,
        "attempts": _ATTEMPTS,
        "metadata": _KEPT,
        "http.request.method": _alias("method"),
        "http.response.status_code": _alias("response_code"),
        "url.path": _alias("path"),
    },
    "analytics": {
        **_MODEL,
        **_USAGE,
        "outcome": _KEYWORD,
        "cache_read_tokens": _LONG,
        "cache_write_tokens": _LONG,
        "reasoning_tokens": _LONG,
        "total_tokens": _LONG,
        "usage_source": _KEYWORD,
        "price_version": _KEYWORD,
        "choices": _LONG,
        "tool_calls": _LONG,
        "finish_reasons": _KEYWORD,
        "attempts": _ATTEMPTS,
        "gen_ai.response.finish_reasons": _alias("finish_reasons"),
    },
    "budget": {
        **_USAGE,
        "tokens_used": _LONG,
        "requests_count": _LONG,
        "period_id": _KEYWORD,
        "period_start": _DATE_OR_EMPTY,
        "period_end": _DATE_OR_EMPTY,
        "limit": _DOUBLE,
        "budget_revision": _LONG,
    },
}


async def install_templates(client: AsyncElasticsearch, prefix: str) -> None:
    """Put the templates where there are none, or older ones of ours. Safe to do many times at once.

    A template of another's, without a version, is left alone too.

    Raises:
        elasticsearch.ApiError, elasticsearch.TransportError: The cluster refused, or is not there.
    """
    components = {f"{prefix}@mappings": {"dynamic": False, "properties": _SHARED}}
    components |= {f"{prefix}-{kind}@mappings": {"properties": _OWN[kind]} for kind in KINDS}
    for name, mappings in components.items():
        if await _is_missing_or_older(client.cluster.get_component_template, "component_template", name):
            await client.cluster.put_component_template(
                name=name, template={"mappings": mappings}, version=VERSION, meta=_META
            )
    for kind in KINDS:
        name = f"{prefix}-{kind}"
        if await _is_missing_or_older(client.indices.get_index_template, "index_template", name):
            await client.indices.put_index_template(name=name, **_index_template(prefix, kind))


def _index_template(prefix: str, kind: str) -> dict[str, Any]:
    custom = [f"{prefix}@custom", f"{prefix}-{kind}@custom"]
    return {
        "index_patterns": [f"{prefix}-{kind}-*"],
        # What comes later wins, so that an admin's own may change anything.
        "composed_of": [f"{prefix}@mappings", f"{prefix}-{kind}@mappings", *custom],
        "ignore_missing_component_templates": custom,
        "priority": 200,
        "version": VERSION,
        "meta": _META,
    }


async def _is_missing_or_older(get: Callable[..., Awaitable[Any]], kind: str, name: str) -> bool:
    try:
        found = await get(name=name)
    except NotFoundError:
        return True
    [entry] = found[f"{kind}s"]
    version: int = entry[kind].get("version", VERSION)
    return version < VERSION
