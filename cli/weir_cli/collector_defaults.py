"""What collectors have from the settings of their process, where their own configuration is silent."""

from __future__ import annotations

from typing import Final

import msgspec

from weir_core.objects import ConfigObject, Plugin
from weir_core.snapshot import Snapshot

_ELASTICSEARCH: Final = "python://weir_collectors.builtin.elasticsearch:ElasticsearchCollector"
_URL: Final = "elasticsearch_url"


def with_elasticsearch_url(snapshot: Snapshot, url: str | None) -> Snapshot:
    """The same revision, in which each Elasticsearch collector without an address has this one."""
    if url is None:
        return snapshot
    return Snapshot(snapshot.revision, [_addressed(item, url) for item in snapshot.objects])


def _addressed(item: ConfigObject, url: str) -> ConfigObject:
    if isinstance(item, Plugin) and item.command == _ELASTICSEARCH and _URL not in item.config:
        return msgspec.structs.replace(item, config={**item.config, _URL: url})
    return item
