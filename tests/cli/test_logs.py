from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from weir_cli.logs import configure_logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    handlers, level = logging.root.handlers, logging.root.level
    yield
    logging.root.handlers = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_carry_the_role_the_pid_and_what_was_said() -> None:
    stream = io.StringIO()
    configure_logs("json", "info", "proxy-1", stream=stream)
    structlog.get_logger("weir.proxy").info("configuration applied", revision=7)
    (line,) = lines(stream)
    assert line["role"] == "proxy-1"
    assert line["pid"] > 0
    assert (line["logger"], line["level"], line["event"], line["revision"]) == (
        "weir.proxy",
        "info",
        "configuration applied",
        7,
    )


def test_loggers_of_the_standard_library_are_written_the_same_way() -> None:
    stream = io.StringIO()
    configure_logs("json", "info", "control", stream=stream)
    logging.getLogger("uvicorn.error").error("broken %s", "pipe")
    logging.getLogger("a_plugin").info("hello")
    assert [(line["logger"], line["event"], line["role"]) for line in lines(stream)] == [
        ("uvicorn.error", "broken pipe", "control"),
        ("a_plugin", "hello", "control"),
    ]


def test_less_than_the_level_and_the_chatter_of_libraries_is_left_out() -> None:
    stream = io.StringIO()
    configure_logs("json", "info", "control", stream=stream)
    structlog.get_logger("weir.x").debug("detail")
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("alembic.runtime").info("Context impl")
    logging.getLogger("elastic_transport.transport").info("PUT /_bulk [status:200]")
    assert lines(stream) == []


def test_what_the_kafka_client_repeats_in_an_outage_is_left_out() -> None:
    stream = io.StringIO()
    configure_logs("json", "info", "control", stream=stream)
    for node in range(100):
        logging.getLogger("aiokafka.consumer.fetcher").error("Failed fetch messages from %s", node)
        structlog.get_logger("weir.x").warning("still here")
    assert [line["logger"] for line in lines(stream)].count("aiokafka.consumer.fetcher") == 1
    assert len(lines(stream)) == 101


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_is_written_without_the_values_of_variables(log_format: Any) -> None:
    stream = io.StringIO()
    configure_logs(log_format, "info", "proxy-1", stream=stream)
    _fail_with("hunter" + "2")
    assert "ValueError: invalid literal" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_console_lines_are_plain_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    configure_logs("console", "info", "proxy-1", stream=stream)
    structlog.get_logger("weir").warning("watch out", child="control")
    (line,) = stream.getvalue().splitlines()
    assert "\x1b" not in line
    assert "watch out" in line
    assert "child=control" in line
    assert "role=proxy-1" in line


def _fail_with(secret: str) -> None:
    try:
        int("no" + secret[:0])
    except ValueError:
        structlog.get_logger("weir").exception("failed")
