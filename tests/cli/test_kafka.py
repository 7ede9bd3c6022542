"""What the ``[kafka]`` table does to an installation."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.streams.support import ManualClock, RecordingLogger

from weir_cli.data_dir import DataDir
from weir_cli.kafka import instance_name, kafka_settings, open_event_log, relay_settings, topic_options
from weir_cli.listening import Listeners
from weir_cli.orders import Orders
from weir_cli.plans import Household, children
from weir_cli.spools import spool_settings
from weir_cli.supervisor import ChildPlan
from weir_core.errors import SettingsError
from weir_core.kafka_options import KafkaOptions
from weir_core.settings import Settings
from weir_core.settings_sources import resolve
from weir_streams.embedded import EmbeddedLog
from weir_streams.kafka.event_log import KafkaEventLog
from weir_streams.kafka.relay import RELAY_GROUP

SECURE = {
    "WEIR_KAFKA_BOOTSTRAP_SERVERS": "one:9092,two:9092",
    "WEIR_KAFKA_PREFIX": "eu.",
    "WEIR_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "WEIR_KAFKA_SASL_USERNAME": "weir",
    "WEIR_KAFKA_SASL_PASSWORD": "very secret",
}


def settings_of(environ: dict[str, str]) -> Settings:
    return resolve(file={}, environ=environ, flags={})


def test_the_environment_reaches_the_client() -> None:
    kafka = kafka_settings(settings_of(SECURE).kafka)
    assert (kafka.bootstrap_servers, kafka.topic("weir.spend.v1")) == (
        "one:9092,two:9092",
        "eu.weir.spend.v1",
    )
    assert (kafka.security.username, kafka.security.password) == ("weir", "very secret")


def test_the_options_of_relay_and_topics_keep_their_units() -> None:
    options = KafkaOptions.model_validate(
        {"relay_bytes_per_second": "2 MiB", "relay_drain_seconds": 3, "proxy_log_days": 0.5, "partitions": 9}
    )
    assert relay_settings(options).bytes_per_s == 2 * 1024 * 1024
    assert relay_settings(options).drain_s == 3
    topics = topic_options(Settings(kafka=options, edge_namespace="mine"), ["other", ""])
    assert (topics.proxy_log_ms, topics.partitions) == (12 * 3600 * 1000, 9)
    assert topics.namespaces == ("", "mine", "other")


def test_a_command_that_needs_kafka_names_the_setting_that_is_missing() -> None:
    with pytest.raises(SettingsError, match="WEIR_KAFKA_BOOTSTRAP_SERVERS"):
        kafka_settings(KafkaOptions())


def test_the_password_reaches_children_and_nothing_that_is_shown() -> None:
    settings = settings_of(SECURE)
    assert "very secret" not in repr(settings) + str(settings.without_secrets())
    child = Settings.model_validate(settings.for_children())
    assert child.kafka.sasl_password is not None
    assert child.kafka.sasl_password.get_secret_value() == "very secret"


def test_a_wrong_password_setting_is_not_shown_in_its_error() -> None:
    with pytest.raises(SettingsError) as raised:
        resolve(file={"kafka": {"sasl_password": ["very secret"]}}, environ={}, flags={})
    assert "very secret" not in str(raised.value)


def test_the_log_is_kafka_where_it_is_configured_and_the_spools_where_it_is_not(tmp_path: Path) -> None:
    def kind(options: KafkaOptions) -> type[object]:
        clock, logger = ManualClock(), RecordingLogger()
        return type(open_event_log(options, tmp_path, instance="one", clock=clock, logger=logger))

    assert kind(KafkaOptions()) is EmbeddedLog
    assert kind(KafkaOptions(bootstrap_servers="one:9092")) is KafkaEventLog


def test_with_kafka_the_spool_waits_for_the_relay_alone() -> None:
    assert spool_settings(settings_of(SECURE)).required_groups == (RELAY_GROUP,)


def test_the_relay_is_a_child_that_stops_behind_all_that_write_spools(tmp_path: Path) -> None:
    plans = {plan.name: plan for plan in planned(tmp_path, settings_of(SECURE))}
    for writer in ("proxy-1", "collectors", "control"):
        assert plans["relay"].stop_order > plans[writer].stop_order
    assert plans["relay"].grace_s > settings_of(SECURE).kafka.relay_drain_seconds
    assert (
        Orders.decode(plans["relay"].command.first_line).settings["kafka"]["sasl_password"] == "very secret"
    )


def test_without_kafka_there_is_no_relay(tmp_path: Path) -> None:
    assert "relay" not in {plan.name for plan in planned(tmp_path, settings_of({}))}


def test_each_process_of_each_data_directory_has_a_name_of_its_own_that_stays() -> None:
    names = {instance_name(Path(path), name) for path in ("/a", "/b") for name in ("one", "two")}
    assert len(names) == 4
    assert instance_name(Path("/a"), "one") in names


def planned(root: Path, settings: Settings) -> list[ChildPlan]:
    data_dir = DataDir.at(root)
    data_dir.prepare_run()
    listeners = Listeners.open(settings.model_copy(update={"port": 0}), data_dir)
    lock_fd = os.open(root, os.O_RDONLY)
    try:
        household = Household(settings, data_dir, "keys", {}, lock_fd)
        return children(household, listeners, None)
    finally:
        os.close(lock_fd)
        listeners.close()
        data_dir.forget_run()
