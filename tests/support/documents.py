"""What the built-in Elasticsearch collector wrote, read from a real Elasticsearch."""

from __future__ import annotations

from typing import Any, Final

from elasticsearch import AsyncElasticsearch
from tests.support.gateway import Gateway

COMMAND: Final = "python://weir_collectors.builtin.elasticsearch:ElasticsearchCollector"
INDEX: Final = {"proxy-logs": "proxy-logs", "analytics": "analytics", "budget-usage": "budget"}
"""By kind of record, what stands in the names of its indices."""


async def documents(client: AsyncElasticsearch, prefix: str, kind: str) -> list[dict[str, Any]]:
    """Every document of a kind of record, over all days."""
    # By name: a pattern would also search an index that is made while we ask, before its shard is there.
    names = list(await client.indices.get(index=f"{prefix}-{INDEX[kind]}-*"))
    if not names:
        return []
    await client.cluster.health(index=names, wait_for_status="yellow")
    await client.indices.refresh(index=names)
    found = await client.search(index=names, size=10_000)
    assert found["hits"]["total"]["relation"] == "eq", "more than one search returns"
    return [hit["_source"] for hit in found["hits"]["hits"]]


async def add_collector(
    gateway: Gateway, url: str, prefix: str, slug: str = "es", **options: Any
) -> dict[str, Any]:
    """A collector whose indices begin with ``prefix``, running; ``options`` are those of any collector."""
    plugin = await gateway.create(
        "plugins",
        name=slug,
        slug=slug,
        command=COMMAND,
        hook_types=["data_collection"],
        config={"elasticsearch_url": url, "index_prefix": prefix},
        collector=options,
    )
    await gateway.hosted(plugin["id"])
    return plugin
