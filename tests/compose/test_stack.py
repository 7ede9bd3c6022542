"""The compose stack against what it is made of: files that exist, metrics that are exposed, services known."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from structlog import get_logger

from weir_cli.collector_metrics import CollectorMetrics
from weir_cli.payload_metrics import DeliveryMetrics
from weir_cli.relay_metrics import RelayMetrics
from weir_cli.roles.edge_payloads import pending_gauge
from weir_cli.spool_watch import SpoolWatch
from weir_core.settings import setting_names
from weir_proxy.metrics import Metrics

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
_METRIC = re.compile(r"\bweir_[a-z_]+")


def stack() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    return loaded


def exposed() -> set[str]:
    """Every metric's name as it is in /metrics."""
    registry = CollectorRegistry()
    for metrics in (Metrics, RelayMetrics, CollectorMetrics, DeliveryMetrics, pending_gauge):
        metrics(registry)
    SpoolWatch(registry, retention_s=1, logger=get_logger())
    names = set()
    for family in registry.collect():
        names |= {f"{family.name}_total"} if family.type == "counter" else {family.name}
        if family.type == "histogram":
            names |= {f"{family.name}{suffix}" for suffix in ("_bucket", "_sum", "_count")}
    return names


def test_every_metric_of_dashboards_and_alerts_is_exposed() -> None:
    dashboards = [json.loads(path.read_text()) for path in (COMPOSE / "grafana").rglob("*.json")]
    asked = [
        target["expr"] for board in dashboards for panel in board["panels"] for target in panel["targets"]
    ]
    alerts = yaml.safe_load((COMPOSE / "prometheus" / "alerts.yml").read_text())
    asked += [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    assert asked
    assert {name for expression in asked for name in _METRIC.findall(expression)} <= exposed()


def test_every_metric_is_documented() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    base = {name for name in exposed() if not name.endswith(("_bucket", "_sum", "_count"))}
    assert {name for name in base if f"`{name}`" not in page} == set()


def test_every_metric_that_the_page_names_is_exposed() -> None:
    named = set(re.findall(r"`(weir_[a-z_]+)`", (ROOT / "docs" / "metrics.md").read_text()))
    assert named - exposed() == set()


def test_every_setting_of_the_stack_is_one() -> None:
    known = {name.environment for name in setting_names()}
    given = {
        variable
        for service in stack()["services"].values()
        for variable in service.get("environment", {})
        if variable.startswith("WEIR_")
    }
    assert given
    assert given <= known


def test_prometheus_asks_only_services_of_the_stack() -> None:
    config = yaml.safe_load((COMPOSE / "prometheus" / "prometheus.yml").read_text())
    targets = [
        target
        for job in config["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    ]
    assert {target.partition(":")[0] for target in targets} <= set(stack()["services"])


def test_every_service_says_whether_it_is_well() -> None:
    image_has_one = "HEALTHCHECK" in (COMPOSE / "Dockerfile").read_text()
    for name, service in stack()["services"].items():
        assert "healthcheck" in service or (image_has_one and service["image"] == "weir:local"), name


def test_every_volume_and_file_that_is_mounted_exists() -> None:
    named = set(stack()["volumes"])
    for service in stack()["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in named or (COMPOSE / source).exists(), volume


def test_the_image_copies_what_exists_installs_from_the_lock_and_runs_as_nobody_special() -> None:
    text = (COMPOSE / "Dockerfile").read_text()
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    rooms = re.findall(r'"(\w+)/weir_\w+"', (ROOT / "pyproject.toml").read_text())
    assert set(rooms) <= set(copied)
    assert "--require-hashes -r requirements.lock" in text
    assert "hatchling==" in (ROOT / "requirements.lock").read_text()
    assert re.search(r"^USER (?!root)\w+$", text.split("FROM ")[-1], re.MULTILINE)
    ignored = (COMPOSE / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{source}" for source in copied} <= set(ignored)


def test_compose_itself_takes_the_file() -> None:
    docker = shutil.which("docker")
    has_compose = (
        docker and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0
    )
    if not docker or not has_compose:
        pytest.skip("Docker with its compose plugin is not installed")
    secrets = ("WEIR_ENCRYPTION_KEYS", "WEIR_ADMIN_TOKEN", "POSTGRES_PASSWORD", "GRAFANA_PASSWORD")
    done = subprocess.run(
        [docker, "compose", "-f", str(COMPOSE / "compose.yaml"), "config", "--quiet"],
        env=dict.fromkeys(secrets, "x"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
