from __future__ import annotations

import json
from pathlib import Path

import pytest
from file_collector.plugin import FileCollector

from weir_sdk.testing import make_analytics, make_budget_usage, make_context, make_proxy_log, run


@pytest.fixture
def plugin(tmp_path: Path) -> FileCollector:
    plugin = FileCollector()
    run(plugin.initialize, make_context(), {"directory": str(tmp_path / "events")})
    return plugin


def test_each_kind_of_event_has_its_file(plugin: FileCollector, tmp_path: Path) -> None:
    run(plugin.handle_proxy_log, make_context(), make_proxy_log(response_code=200))
    run(plugin.handle_analytics, make_context(), make_analytics(cost="0.00033"))
    run(plugin.handle_budget_usage, make_context(), make_budget_usage(tokens_used=42))
    assert lines_of(tmp_path, "proxy-logs")[0]["response_code"] == 200
    assert lines_of(tmp_path, "analytics")[0]["cost"] == "0.00033"
    assert lines_of(tmp_path, "budget-usage")[0]["tokens_used"] == 42


def test_what_is_in_the_file_is_handled(plugin: FileCollector) -> None:
    answer = run(plugin.handle_analytics, make_context(), make_analytics())
    assert answer.success
    assert answer.handled


def test_events_are_appended(plugin: FileCollector, tmp_path: Path) -> None:
    for event_id in ("first", "second"):
        run(plugin.handle_analytics, make_context(), make_analytics(event_id=event_id))
    assert [line["event_id"] for line in lines_of(tmp_path, "analytics")] == ["first", "second"]


def test_a_full_disk_is_an_error_and_not_handled(plugin: FileCollector, tmp_path: Path) -> None:
    (tmp_path / "events" / "analytics.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        run(plugin.handle_analytics, make_context(), make_analytics())


def lines_of(tmp_path: Path, name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (tmp_path / "events" / f"{name}.jsonl").read_text().splitlines()]
