"""Every example passes the checks that we recommend to others, in the gateway and as a process of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.cli.conftest import Weir

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIGS = {
    "cache_statistics/aggregator:CacheAggregator": {"file": "statistics.json"},
    "cache_statistics/plugin:CacheStatistics": {"every": 2},
    "custom_auth/plugin:CustomAuth": {"valid_token": "long"},
    "file_collector/plugin:FileCollector": {"directory": "events"},
    "ledger_and_alarm/alarm:Alarm": {"most_per_hour": "5.00"},
    "ledger_and_alarm/ledger:Ledger": {"path": "ledger.db"},
    "request_enricher/plugin:RequestEnricher": {"headers": {"X-Environment": "test"}},
    "response_modifier/plugin:ResponseModifier": {"closing_line": "Yours"},
    "stream_redactor/plugin:StreamRedactor": {"words": ["hello", "secret"]},
}
OPTIONS = ("--scope", "control.send", "--json")


def test_there_is_no_example_that_is_not_checked() -> None:
    programs = {
        path.relative_to(EXAMPLES).as_posix()
        for path in EXAMPLES.glob("*/*.py")
        if not path.name.startswith("test_")
    }
    assert programs == {f"{name.partition(':')[0]}.py" for name in CONFIGS}
    assert all(os.access(EXAMPLES / program, os.X_OK) for program in programs)
    assert all((EXAMPLES / program).with_name("README.md").exists() for program in programs)


@pytest.mark.parametrize("hosting", ["python", "file"])
@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_an_example_passes_its_check(
    weir: Weir, monkeypatch: pytest.MonkeyPatch, name: str, hosting: str
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    path, _, class_name = name.partition(":")
    module = path.replace("/", ".")
    command = f"python://{module}:{class_name}" if hosting == "python" else f"file://{EXAMPLES}/{path}.py"
    code, out, err = weir("plugin", "check", command, "--config", json.dumps(CONFIGS[name]), *OPTIONS)
    assert code == 0, out + err
