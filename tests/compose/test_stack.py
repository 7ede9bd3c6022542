"""The compose stack against what it is made of: files that exist, metrics that are exposed, services known."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from structlog import get_logger

from weir_cli.collector_metrics import CollectorMetrics
from weir_cli.control_metrics import ControlMetrics
from weir_cli.payload_metrics import DeliveryMetrics
from weir_cli.relay_metrics import RelayMetrics
from weir_cli.roles.edge_payloads import pending_gauge
from weir_cli.spool_watch import SpoolWatch
from weir_cli.streams_metrics import StreamsMetrics
from weir_core.settings_sources import setting_names
from weir_proxy.metrics import Metrics

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
_METRIC = re.compile(r"\bweir_[a-z_]+")
_KEYS = {
    "build",
    "command",
    "depends_on",
    "environment",
    "healthcheck",
    "hostname",
    "image",
    "ports",
    "profiles",
    "restart",
    "stop_grace_period",
    "ulimits",
    "volumes",
}
_DURATIONS = ("interval", "start_period", "timeout")
_HEALTH_KEYS = {"disable", "interval", "retries", "start_period", "test", "timeout"}


def stack() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    return loaded


def alert_expressions() -> list[str]:
    alerts = yaml.safe_load((COMPOSE / "prometheus" / "alerts.yml").read_text())
    return [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]


def exposed() -> set[str]:
    """Every metric's name as it is in /metrics."""
    registry = CollectorRegistry()
    for metrics in (Metrics, RelayMetrics, CollectorMetrics, DeliveryMetrics, StreamsMetrics, pending_gauge):
        metrics(registry)
    SpoolWatch(registry, retention_s=1, logger=get_logger())
    nobody: Any = None
    ControlMetrics(registry, leader=nobody, publisher=nobody)
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
    asked += alert_expressions()
    assert asked
    assert {name for expression in asked for name in _METRIC.findall(expression)} <= exposed()


@pytest.mark.parametrize(
    "role",
    [
        pytest.param(lambda registry: Metrics(registry), id="proxy"),
        pytest.param(lambda registry: RelayMetrics(registry), id="relay"),
        pytest.param(lambda registry: CollectorMetrics(registry), id="collect"),
        pytest.param(lambda registry: StreamsMetrics(registry), id="streams"),
        pytest.param(lambda registry: ControlMetrics(registry, Any, Any), id="control"),
    ],
)
def test_a_role_that_is_gone_with_its_metrics_raises_an_alert(
    role: Callable[[CollectorRegistry], Any],
) -> None:
    missed = re.compile(
        r"absent\((weir_[a-z_]+)\)|unless on \(instance\)\s*\(count_over_time\((weir_[a-z_]+)"
    )
    watched = {name for found in missed.findall(" ".join(alert_expressions())) for name in found if name}
    registry = CollectorRegistry()
    role(registry)
    # Those with labels show nothing before there is something to show.
    always_there = {sample.name for family in registry.collect() for sample in family.samples}
    assert watched & always_there


def test_every_process_that_prometheus_asks_is_missed_when_it_does_not_answer() -> None:
    assert "up == 0" in alert_expressions()


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


def test_every_part_of_a_service_is_one_that_compose_knows() -> None:
    assert set(stack()) <= {
        "name",
        "services",
        "volumes",
        "x-weir",
        "x-database",
        "x-proxy",
        "x-proxy-environment",
        "x-collector",
    }
    for name, service in stack()["services"].items():
        assert set(service) <= _KEYS, name
        assert set(service.get("healthcheck", {})) <= _HEALTH_KEYS, name
        assert service.get("restart") in ("unless-stopped", "no"), name


class _NothingTwice(yaml.SafeLoader):
    """Refuses what compose refuses and YAML's loader passes over: a key that stands twice in one place."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        # Before the merges, which may give again what is given here.
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: a key stands twice"
        return dict(super().construct_mapping(node, deep))


def test_nothing_is_said_twice() -> None:
    text = (COMPOSE / "compose.yaml").read_text()
    assert yaml.load(text, _NothingTwice) == stack()
    with pytest.raises(AssertionError, match="twice"):
        yaml.load(text + "name: other\n", _NothingTwice)


def test_every_value_is_of_a_kind_that_compose_takes() -> None:
    for name, service in stack()["services"].items():
        for variable, value in service.get("environment", {}).items():
            # An unquoted true or 1.10 would not arrive as it is written.
            assert isinstance(value, str), f"{name}: {variable} is not quoted"
        for part in ("command", "ports", "volumes", "profiles"):
            assert all(isinstance(item, str) for item in service.get(part, ())), f"{name}: {part}"
        check = service.get("healthcheck", {})
        if not check.get("disable"):
            assert check.get("test", ["CMD"])[0] in ("CMD", "CMD-SHELL"), name
        waits = [service.get("stop_grace_period", "1s"), *(check.get(key, "1s") for key in _DURATIONS)]
        assert all(re.fullmatch(r"\d+(ms|s|m|h)", wait) for wait in waits), f"{name}: {waits}"


def test_every_value_that_is_filled_in_says_what_to_do_when_it_is_missing() -> None:
    text = (COMPOSE / "compose.yaml").read_text()
    assert text.count("$") == len(re.findall(r"\$\{\w+:\?[^{}]+\}", text))


def test_who_waits_for_a_service_waits_for_something_that_comes() -> None:
    services = stack()["services"]
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            awaited = services[other]
            is_watched = not awaited.get("healthcheck", {}).get("disable", False)
            ends = awaited["restart"] == "no" and "profiles" not in awaited
            assert wait["condition"] in {
                "service_started",
                *(["service_healthy"] if is_watched else []),
                *(["service_completed_successfully"] if ends else []),
            }, f"{name} -> {other}"
            if "profiles" not in service:
                assert "profiles" not in awaited, f"{name} needs {other}, which its command does not start"


def test_ports_are_published_to_this_machine_alone() -> None:
    published = [port for service in stack()["services"].values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len({port.split(":")[1] for port in published}) == len(published)


def asked_secrets() -> set[str]:
    return set(re.findall(r"\$\{(\w+):\?", (COMPOSE / "compose.yaml").read_text()))


def test_the_secrets_that_the_stack_asks_for_are_those_that_its_command_makes() -> None:
    assert asked_secrets() == set(re.findall(r'echo "(\w+)=', (COMPOSE / "up").read_text()))


def test_the_smoke_test_is_called_as_it_is_written_with_services_of_the_stack() -> None:
    service = stack()["services"]["smoke"]
    known = set(re.findall(r'add_argument\("(--\w+)"', (COMPOSE / "smoke.py").read_text()))
    options = [word for word in service["command"] if word.startswith("--")]
    assert {option.partition("=")[0] for option in options} <= known
    hosts = {host for word in service["command"] for host in re.findall(r"http://([\w-]+):", word)}
    assert hosts <= set(service["depends_on"])


def test_compose_itself_takes_the_file() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not on this machine; the tests above hold its file against less")
    done = subprocess.run(
        [docker, "compose", "-f", str(COMPOSE / "compose.yaml"), "--profile", "smoke", "config", "--quiet"],
        env={**os.environ, **dict.fromkeys(asked_secrets(), "x")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_role_that_keeps_something_has_a_host_name_that_outlives_its_container() -> None:
    keeping = {
        name
        for name, service in stack()["services"].items()
        if any(str(volume).endswith(":/var/lib/weir") for volume in service.get("volumes", ()))
    }
    assert {"control", "proxy-a", "proxy-b", "collector-1", "collector-2", "streams"} <= keeping
    assert {stack()["services"][name].get("hostname") for name in keeping} == keeping
