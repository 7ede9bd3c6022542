"""What collectors have from the settings where their own configuration is silent."""

from __future__ import annotations

from typing import Any

import pytest

from weir_cli.collector_defaults import with_elasticsearch_url
from weir_core.objects import Plugin
from weir_core.snapshot import Snapshot

COMMAND = "python://weir_collectors.builtin.elasticsearch:ElasticsearchCollector"
URL = "http://elasticsearch:9200"


def snapshot(command: str, config: dict[str, Any]) -> Snapshot:
    return Snapshot(7, [Plugin(id=1, name="es", slug="es", command=command, config=config)])


@pytest.mark.parametrize(
    ("command", "config", "completed"),
    [
        (COMMAND, {"api_key": "k"}, {"api_key": "k", "elasticsearch_url": URL}),
        (COMMAND, {"elasticsearch_url": "http://other:9200"}, {"elasticsearch_url": "http://other:9200"}),
        ("python://acme.sinks:Sink", {}, {}),
    ],
)
def test_the_settings_address_is_for_elasticsearch_collectors_that_name_none(
    command: str, config: dict[str, Any], completed: dict[str, Any]
) -> None:
    found = with_elasticsearch_url(snapshot(command, config), URL)
    assert (found.revision, found.plugins[1].config) == (7, completed)


def test_without_that_setting_nothing_changes() -> None:
    before = snapshot(COMMAND, {})
    assert with_elasticsearch_url(before, None) is before
