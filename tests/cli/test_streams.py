"""The streams app's own command: its metrics, its health, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from tests.support.environment import weir_environment

from weir_cli.role_health import HealthApp
from weir_cli.roles import streams as role
from weir_cli.streams_metrics import StreamsMetrics
from weir_core.streams_options import StreamsOptions
from weir_streams.errors import StreamsExtraMissingError
from weir_streams.locking import DirectoryLock
from weir_streams.windows.rules import Rules
from weir_streams.windows.status import StreamsStatus

NOWHERE = {"WEIR_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def weir_streams(data_dir: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("weir")), "streams", "--data-dir", str(data_dir)],
        env=weir_environment() | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_kafka_it_says_what_to_set(tmp_path: Path) -> None:
    done = weir_streams(tmp_path, {})
    assert done.returncode == 2
    assert "weir streams needs Kafka; set WEIR_KAFKA_BOOTSTRAP_SERVERS" in done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"WEBHOOK_URL": "http://there/"}, "streams.webhook_url needs streams.webhook_secret"),
        ({"WEBHOOK_SECRET": "short"}, "WEIR_STREAMS_WEBHOOK_SECRET must have 16 characters"),
        ({"WINDOW_SECONDS": "7"}, "WEIR_STREAMS_WINDOW_SECONDS must divide a day"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name_and_without_a_secret(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    done = weir_streams(
        tmp_path, NOWHERE | {f"WEIR_STREAMS_{name}": value for name, value in settings.items()}
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "'short'" not in done.stderr


def test_a_second_process_on_a_directory_refuses_to_start(tmp_path: Path) -> None:
    (tmp_path / "streams").mkdir()
    lock = DirectoryLock.take(tmp_path / "streams")
    assert lock is not None
    done = weir_streams(tmp_path, NOWHERE)
    lock.release()
    assert done.returncode == 1
    assert "another weir streams keeps its windows" in done.stderr


def test_without_faust_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faust", None)
    monkeypatch.delitem(sys.modules, "weir_streams.windows.faust_reader", raising=False)
    with pytest.raises(StreamsExtraMissingError, match=r"pip install weir-gateway\[streams\]"):
        role._reader_type()


def test_limits_are_taken_as_they_were_written() -> None:
    options = StreamsOptions.model_validate({"alert_spend": "0.1", "alert_error_rate": 0.1})
    rules = role.rules_of(options)
    assert rules == Rules(spend_nano=100_000_000, error_rate=options.alert_error_rate)
    assert str(rules.error_rate) == "0.1"


def test_metrics_follow_what_the_app_says_of_itself() -> None:
    registry = CollectorRegistry()
    metrics = StreamsMetrics(registry)
    metrics.show(StreamsStatus())
    assert str(registry.get_sample_value("weir_streams_lag_events")) == "nan", "nothing has been counted"
    metrics.show(StreamsStatus(added=5, repeated=1, lag=7))
    metrics.show(
        StreamsStatus(added=8, repeated=1, lag=None, alerts=2, published=3, caught_up=True, stalled="so")
    )
    expected: list[tuple[str, dict[str, str], float]] = [
        ("weir_streams_events_total", {"result": "added"}, 8),
        ("weir_streams_events_total", {"result": "repeated"}, 1),
        ("weir_streams_alerts_total", {"result": "raised"}, 2),
        ("weir_streams_windows_published_total", {}, 3),
        ("weir_streams_lag_events", {}, 7),
        ("weir_streams_caught_up", {}, 1),
        ("weir_streams_stalled", {}, 1),
    ]
    for name, labels, value in expected:
        assert registry.get_sample_value(name, labels) == value, name


@pytest.mark.parametrize(("illness", "status"), [((), 200), (("it stands still",), 503)])
async def test_health_says_why_only_a_new_process_can_help(illness: Any, status: int) -> None:
    app = HealthApp(lambda: (), CollectorRegistry(), lambda: illness)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://role") as client:
        answer = await client.get("/health")
    assert (answer.status_code, answer.json().get("reasons", [])) == (status, list(illness))
