"""Changing single settings of a topic: the request that the client library lacks.

The library's own ``alter_configs`` replaces all that is set on a topic, an operator's settings too.
Source: KIP-339 and the Kafka protocol, IncrementalAlterConfigs (key 44) version 0; brokers have it since 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiokafka.admin.config_resource import ConfigResourceType  # type: ignore[import-untyped]
from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]
from aiokafka.errors import for_code  # type: ignore[import-untyped]
from aiokafka.protocol.api import Request, RequestStruct, Response  # type: ignore[import-untyped]
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String  # type: ignore[import-untyped]

_KEY: Final = 44
_SET: Final = 0


class _Answer(Response):  # type: ignore[misc]
    API_KEY = _KEY
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "responses",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class _Changes(RequestStruct):  # type: ignore[misc]
    API_KEY = _KEY
    API_VERSION = 0
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(
                        ("name", String("utf-8")),
                        ("config_operation", Int8),
                        ("value", String("utf-8")),
                    ),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class _Change(Request[_Changes]):  # type: ignore[misc]
    API_KEY = _KEY

    def __init__(self, topic: str, configs: Mapping[str, str]) -> None:
        self._topic = topic
        self._configs = configs

    def build(self, request_struct_class: type[_Changes]) -> _Changes:
        configs = [(name, _SET, value) for name, value in self._configs.items()]
        return request_struct_class([(ConfigResourceType.TOPIC, self._topic, configs)], False)


async def set_configs(client: AIOKafkaClient, topic: str, configs: Mapping[str, str]) -> None:
    """Give these settings of a topic these values; the others stay as they are.

    Raises:
        KafkaError: The brokers refused, or did not answer.
    """
    answer = await client.send(client.get_random_node(), _Change(topic, configs))
    for code, message, *_ in answer.responses:
        if code:
            raise for_code(code)(f"{topic}: {message}")
