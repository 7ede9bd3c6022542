from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from google.protobuf import timestamp_pb2

from weir_proto import gateway_services_pb2 as gateway

OURS = """
from weir_proto import config_provider_pb2_grpc, gateway_services_pb2_grpc, go_plugin_pb2_grpc
from weir_proto import plugin_events_pb2_grpc, plugin_pb2_grpc
"""

# What another project's stubs for the same services do when they are imported: the same names, other file names.
THEIRS = """
from google.protobuf import descriptor_pb2, descriptor_pool
for file, package, names in [
    ("grpc_controller.proto", "plugin", ["Empty"]),
    ("grpc_broker.proto", "plugin", ["ConnInfo"]),
    ("grpc_stdio.proto", "plugin", ["StdioData"]),
    ("proto/plugin.proto", "plugin", ["PluginContext", "PluginRequest", "PluginResponse"]),
    ("proto/microgateway_management.proto", "microgateway_management", ["PluginContext", "LLMInfo"]),
    ("proto/config_provider.proto", "config_provider", ["ConfigPingRequest"]),
    ("proto/plugin_events.proto", "plugin_events", ["EventMessage"]),
]:
    source = descriptor_pb2.FileDescriptorProto(name=file, package=package, syntax="proto3")
    for name in names:
        source.message_type.add(name=name)
    descriptor_pool.Default().AddSerializedFile(source.SerializeToString())
"""

USED = """
from weir_proto import go_plugin_pb2, plugin_pb2
assert go_plugin_pb2.Empty.FromString(go_plugin_pb2.Empty().SerializeToString()) == go_plugin_pb2.Empty()
request = plugin_pb2.PluginRequest(method="POST", context=plugin_pb2.PluginContext(llm_id=7))
assert plugin_pb2.PluginRequest.FromString(request.SerializeToString()).context.llm_id == 7
"""


@pytest.mark.parametrize(
    "program",
    [OURS + USED, THEIRS + OURS + USED, OURS + THEIRS + USED],
    ids=["alone", "after foreign stubs", "before foreign stubs"],
)
def test_all_modules_share_one_process(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_a_timestamp_field_takes_a_datetime() -> None:
    when = datetime(2031, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)

    request = gateway.WritePluginKVRequest(key="k", expire_at=when)

    received = gateway.WritePluginKVRequest.FromString(request.SerializeToString())
    assert received.expire_at.ToDatetime(UTC) == when


def test_a_timestamp_of_the_default_pool_is_refused_in_a_timestamp_field() -> None:
    with pytest.raises(TypeError):
        gateway.WritePluginKVRequest(key="k", expire_at=timestamp_pb2.Timestamp(seconds=1))
