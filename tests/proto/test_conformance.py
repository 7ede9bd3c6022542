"""The wire as it must be, written out a second time: a renumbered or retyped field breaks plugins in the field.

A field is ``name#number:type``; without a type it is a string. ``map`` is map<string, string>, and a trailing
``?`` marks a field that knows whether it was set.
"""

from __future__ import annotations

from typing import Final

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor

from weir_proto import (
    config_provider_pb2,
    gateway_services_pb2,
    go_plugin_pb2,
    plugin_events_pb2,
    plugin_pb2,
    weir_plugin_pb2,
)

FILES: Final[tuple[FileDescriptor, ...]] = (
    go_plugin_pb2.DESCRIPTOR,
    plugin_pb2.DESCRIPTOR,
    config_provider_pb2.DESCRIPTOR,
    gateway_services_pb2.DESCRIPTOR,
    plugin_events_pb2.DESCRIPTOR,
    weir_plugin_pb2.DESCRIPTOR,
)

TIMESTAMP = "google.protobuf.Timestamp"

GO_PLUGIN: Final = {
    "Empty": "",
    "ConnInfo": "service_id#1:uint32, network#2, address#3, knock#4:ConnInfo.Knock",
    "ConnInfo.Knock": "knock#1:bool, ack#2:bool, error#3",
    "StdioData": "channel#1:enum, data#2:bytes",
}

PLUGIN: Final = {
    "InitRequest": "config#1:map",
    "InitResponse": "success#1:bool, error_message#2",
    "PingRequest": "timestamp#1:int64",
    "PingResponse": "timestamp#1:int64, healthy#2:bool",
    "ShutdownRequest": "timeout_seconds#1:int64",
    "ShutdownResponse": "success#1:bool",
    "PluginContext": "request_id#1, vendor#2, llm_id#3:uint32, llm_slug#4, app_id#5:uint32, user_id#6:uint32, "
    "metadata#7:map, trace_context#8:map, user_id_text#101:string?",
    "PluginRequest": "method#1, path#2, headers#3:map, body#4:bytes, context#5:PluginContext, remote_addr#6, "
    "query_string#101:string?",
    "PluginResponse": "modified#1:bool, status_code#2:int32, headers#3:map, body#4:bytes, block#5:bool, "
    "error_message#6, context_updates#7:map, method#101:string?, path#102:string?, query_string#103:string?, "
    "removed_headers#104:repeated string, body_removed#105:bool, removed_metadata#106:repeated string",
    "AuthRequest": "credential#1, auth_type#2, request#3:PluginRequest, context#4:PluginContext",
    "AuthResponse": "authenticated#1:bool, user_id#2, app_id#3, claims#4:map, error_message#5, "
    "status_code#101:int32, headers#102:map, username#103, body#104:bytes, context_updates#105:map, "
    "removed_metadata#106:repeated string",
    "EnrichedRequest": "request#1:PluginRequest, user_id#2, app_id#3, auth_claims#4:map, authenticated#5:bool",
    "HeadersRequest": "headers#1:map, context#2:PluginContext, status_code#101:int32, body#102:bytes",
    "HeadersResponse": "modified#1:bool, headers#2:map, removed_headers#101:repeated string, "
    "status_code#102:int32, context_updates#103:map, removed_metadata#104:repeated string",
    "ResponseWriteRequest": "body#1:bytes, headers#2:map, is_stream_chunk#3:bool, context#4:PluginContext, "
    "status_code#101:int32",
    "ResponseWriteResponse": "modified#1:bool, body#2:bytes, headers#3:map, removed_headers#101:repeated string, "
    "status_code#102:int32, context_updates#103:map, removed_metadata#104:repeated string",
    "StreamCompleteRequest": "accumulated_response#1:bytes, headers#2:map, status_code#3:int32, "
    "context#4:PluginContext, chunk_count#5:int32, request_body#6:bytes",
    "StreamCompleteResponse": "handled#1:bool, cached#2:bool, error_message#3",
    "GetAppRequest": "credential#1, context#2:PluginContext",
    "GetAppResponse": "success#1:bool, error_message#2, app#3:App",
    "GetUserRequest": "credential#1, context#2:PluginContext",
    "GetUserResponse": "success#1:bool, error_message#2, user#3:User",
    "App": "id#1:uint32, name#2, description#3, owner_email#4, is_active#5:bool, monthly_budget#6:double, "
    "rate_limit#7:int32, metadata#8:map, plugin_resources#9:repeated AppPluginResourceAssociation",
    "AppPluginResourceAssociation": "plugin_id#1:uint32, resource_type_slug#2, instance_ids#3:repeated string, "
    "instances#4:repeated AppPluginResourceInstance",
    "AppPluginResourceInstance": "id#1, name#2, privacy_score#3:int32, metadata#4:bytes",
    "User": "id#1:uint32, email#2, name#3, is_active#4:bool, metadata#5:map",
    "ProxyLogRequest": "app_id#1:uint32, user_id#2:uint32, vendor#3, request_body#4:bytes, response_body#5:bytes, "
    "response_code#6:int32, timestamp#7:int64, request_id#8, context#9:PluginContext, event_json#101:bytes",
    "AnalyticsRequest": "llm_id#1:uint32, model_name#2, vendor#3, prompt_tokens#4:int32, response_tokens#5:int32, "
    "cache_write_prompt_tokens#6:int32, cache_read_prompt_tokens#7:int32, total_tokens#8:int32, cost#9:double, "
    "currency#10, app_id#11:uint32, user_id#12:uint32, timestamp#13:int64, tool_calls#14:int32, choices#15:int32, "
    "request_id#16, context#17:PluginContext, event_json#101:bytes",
    "BudgetUsageRequest": "app_id#1:uint32, llm_id#2:uint32, tokens_used#3:int64, cost#4:double, "
    "requests_count#5:int32, prompt_tokens#6:int64, completion_tokens#7:int64, period_start#8:int64, "
    "period_end#9:int64, timestamp#10:int64, request_id#11, context#12:PluginContext, event_json#101:bytes",
    "DataCollectionResponse": "success#1:bool, handled#2:bool, error_message#3, metadata#4:map, "
    "permanent#101:bool",
    "GetAssetRequest": "asset_path#1",
    "GetAssetResponse": "success#1:bool, content#2:bytes, mime_type#3, error_message#4, content_length#5:int64",
    "ListAssetsRequest": "path_prefix#1",
    "AssetInfo": "path#1, mime_type#2, size#3:int64",
    "ListAssetsResponse": "success#1:bool, assets#2:repeated AssetInfo, error_message#3",
    "GetManifestRequest": "",
    "GetManifestResponse": "success#1:bool, manifest_json#2, error_message#3",
    "GetConfigSchemaRequest": "",
    "GetConfigSchemaResponse": "success#1:bool, schema_json#2, error_message#3",
    "CallRequest": "method#1, payload#2, service_broker_id#3:uint32",
    "CallResponse": "success#1:bool, data#2, error_message#3",
    "PortalUser": "user_id#1:uint32, email#2, name#3, is_admin#4:bool, groups#5:repeated string, metadata#6:map",
    "PortalCallRequest": "method#1, payload#2, service_broker_id#3:uint32, user_context#4:PortalUser",
    "AgentMessageRequest": "session_id#1, user_message#2, available_tools#3:repeated AgentToolInfo, "
    "available_datasources#4:repeated AgentDatasourceInfo, available_llms#5:repeated AgentLLMInfo, config_json#6, "
    "history#7:repeated AgentConversationMessage, context#8:PluginContext, service_broker_id#9:uint32",
    "AgentToolInfo": "id#1:uint32, name#2, slug#3, description#4, operations#5:repeated string, "
    "privacy_score#6:int32",
    "AgentDatasourceInfo": "id#1:uint32, name#2, description#3, db_source_type#4, privacy_score#5:int32",
    "AgentLLMInfo": "id#1:uint32, name#2, vendor#3, default_model#4, allowed_models#5:repeated string, "
    "privacy_score#6:int32",
    "AgentConversationMessage": "role#1, content#2, timestamp#3:int64, metadata_json#4",
    "AgentMessageChunk": "type#1:enum, content#2, metadata_json#3, is_final#4:bool",
    "ObjectHookRegistration": "object_type#1, hook_types#2:repeated string, priority#3:int32",
    "GetObjectHookRegistrationsRequest": "",
    "GetObjectHookRegistrationsResponse": "registrations#1:repeated ObjectHookRegistration",
    "ObjectHookRequest": "hook_type#1, object_type#2, operation_id#3, user_id#4:uint32, plugin_id#5:uint32, "
    "context#6:PluginContext, object_json#10, metadata#20:map, timestamp#21:int64",
    "ObjectHookResponse": "allow_operation#1:bool, rejection_reason#2, modified_object_json#10, "
    "plugin_metadata#20:map, message#30, modified#31:bool",
    "ExecuteScheduledTaskRequest": "context#1:PluginContext, schedule#2:ScheduledTask, service_broker_id#3:uint32",
    "ExecuteScheduledTaskResponse": "success#1:bool, error_message#2",
    "ScheduledTask": "id#1, name#2, cron#3, timezone#4, enabled#5:bool, timeout_seconds#6:int32, config_json#7",
    "EdgePayloadRequest": "payload#1:bytes, edge_id#2, edge_namespace#3, correlation_id#4, metadata#5:map, "
    "edge_timestamp#6:int64, received_timestamp#7:int64, context#8:PluginContext, service_broker_id#9:uint32",
    "EdgePayloadResponse": "success#1:bool, handled#2:bool, error_message#3, metadata#4:map",
    "OpenSessionRequest": "service_broker_id#1:uint32, plugin_id#2:uint32, metadata#3:map, timeout_ms#4:int32",
    "OpenSessionResponse": "success#1:bool, error_message#2, session_id#3, close_reason#4:enum",
    "CloseSessionRequest": "reason#1",
    "CloseSessionResponse": "success#1:bool, error_message#2",
    "GetEndpointRegistrationsRequest": "",
    "GetEndpointRegistrationsResponse": "registrations#1:repeated EndpointRegistration",
    "EndpointRegistration": "path#1, methods#2:repeated string, description#3, require_auth#4:bool, "
    "stream_response#5:bool, metadata#6:map",
    "EndpointRequest": "method#1, path#2, relative_path#3, path_segments#4:repeated string, headers#5:map, "
    "body#6:bytes, query_string#7, remote_addr#8, host#9, protocol#10, context#11:PluginContext, "
    "authenticated#12:bool, app#13:App, scopes#14:repeated string",
    "EndpointResponse": "status_code#1:int32, headers#2:map, body#3:bytes, error_message#4",
    "EndpointResponseChunk": "type#1:enum, status_code#2:int32, headers#3:map, data#4:bytes, error_message#5",
    "GetResourceTypeRegistrationsRequest": "",
    "GetResourceTypeRegistrationsResponse": "registrations#1:repeated ResourceTypeRegistrationProto",
    "ResourceTypeRegistrationProto": "slug#1, name#2, description#3, icon#4, has_privacy_score#5:bool, "
    "supports_submissions#6:bool, form_component#7:ResourceFormComponent",
    "ResourceFormComponent": "tag#1, entry_point#2",
    "ResourceInstanceProto": "id#1, name#2, description#3, privacy_score#4:int32, metadata#5:bytes, is_active#6:bool",
    "ListResourceInstancesRequest": "resource_type_slug#1, context#2:PluginContext, service_broker_id#3:uint32",
    "ListResourceInstancesResponse": "success#1:bool, instances#2:repeated ResourceInstanceProto, error_message#3",
    "GetResourceInstanceRequest": "resource_type_slug#1, instance_id#2, context#3:PluginContext, "
    "service_broker_id#4:uint32",
    "GetResourceInstanceResponse": "success#1:bool, instance#2:ResourceInstanceProto, error_message#3",
    "ValidateResourceSelectionRequest": "resource_type_slug#1, instance_ids#2:repeated string, app_id#3:uint32, "
    "context#4:PluginContext, service_broker_id#5:uint32",
    "ValidateResourceSelectionResponse": "valid#1:bool, error_message#2",
    "CreateResourceInstanceRequest": "resource_type_slug#1, payload#2:bytes, context#3:PluginContext, "
    "service_broker_id#4:uint32",
    "CreateResourceInstanceResponse": "success#1:bool, instance#2:ResourceInstanceProto, error_message#3",
}

CONFIG_PROVIDER: Final = {
    "ConfigSchemaRequest": "",
    "ConfigSchemaResponse": "success#1:bool, schema_json#2, error_message#3",
    "GetManifestRequest": "",
    "GetManifestResponse": "success#1:bool, manifest_json#2, error_message#3",
    "ConfigPingRequest": "timestamp#1:int64",
    "ConfigPingResponse": "timestamp#1:int64, healthy#2:bool",
}

GATEWAY: Final = {
    "PluginContext": "plugin_id#1:uint32, method_scope#2",
    "LLMInfo": "id#1:uint32, name#2, vendor#3, slug#4, endpoint#5, has_api_key#6:bool, default_model#7, "
    "allowed_models#8:repeated string, is_active#9:bool, max_tokens#10:int32, timeout_seconds#11:int32, "
    f"retry_count#12:int32, monthly_budget#13:double?, rate_limit_rpm#14:int32, created_at#15:{TIMESTAMP}, "
    f"updated_at#16:{TIMESTAMP}, metadata#17:map, metadata_json#101, namespace#102",
    "AppInfo": "id#1:uint32, name#2, description#3, owner_email#4, is_active#5:bool, monthly_budget#6:double, "
    "budget_reset_day#7:int32, rate_limit_rpm#8:int32, allowed_ips#9:repeated string, "
    f"created_at#10:{TIMESTAMP}, updated_at#11:{TIMESTAMP}, metadata#12, user_id#101:string?, "
    "llm_ids#102:repeated uint32, namespace#103",
    "ModelPriceInfo": "id#1:uint32, vendor#2, model_name#3, cpt#4:double, cpit#5:double, cache_write_pt#6:double, "
    f"cache_read_pt#7:double, currency#8, created_at#9:{TIMESTAMP}, updated_at#10:{TIMESTAMP}, input#101:string?, "
    "output#102:string?, cache_read#103:string?, cache_write#104:string?, reasoning#105:string?",
    "ListLLMsRequest": "context#1:PluginContext, vendor#2, is_active#3:bool?, page#4:int32, limit#5:int32",
    "ListLLMsResponse": "llms#1:repeated LLMInfo, total_count#2:int64",
    "GetLLMRequest": "context#1:PluginContext, llm_id#2:uint32",
    "GetLLMResponse": "llm#1:LLMInfo",
    "ListAppsRequest": "context#1:PluginContext, is_active#2:bool?, page#3:int32, limit#4:int32",
    "ListAppsResponse": "apps#1:repeated AppInfo, total_count#2:int64",
    "GetAppRequest": "context#1:PluginContext, app_id#2:uint32",
    "GetAppResponse": "app#1:AppInfo",
    "GetBudgetStatusRequest": "context#1:PluginContext, app_id#2:uint32, llm_id#3:uint32?",
    "GetBudgetStatusResponse": "app_id#1:uint32, llm_id#2:uint32?, monthly_budget#3:double, current_usage#4:double, "
    "remaining_budget#5:double, tokens_used#6:int64, requests_count#7:int32, period_start#8:int64, "
    "period_end#9:int64, is_over_budget#10:bool, percentage_used#11:double",
    "ListModelPricesRequest": "context#1:PluginContext, vendor#2",
    "ListModelPricesResponse": "model_prices#1:repeated ModelPriceInfo",
    "GetModelPriceRequest": "context#1:PluginContext, model_name#2, vendor#3",
    "GetModelPriceResponse": "model_price#1:ModelPriceInfo",
    "ValidateCredentialRequest": "context#1:PluginContext, secret#2",
    "ValidateCredentialResponse": "valid#1:bool, app_id#2:uint32, credential_id#3:uint32, expires_at#4:int64?",
    "WritePluginKVRequest": f"context#1:PluginContext, key#2, value#3:bytes, expire_at#4:{TIMESTAMP}",
    "WritePluginKVResponse": "created#1:bool",
    "ReadPluginKVRequest": "context#1:PluginContext, key#2",
    "ReadPluginKVResponse": "value#1:bytes",
    "DeletePluginKVRequest": "context#1:PluginContext, key#2",
    "DeletePluginKVResponse": "deleted#1:bool",
    "QueueControlPayloadRequest": "context#1:PluginContext, payload#2:bytes, correlation_id#3, metadata#4:map",
    "QueueControlPayloadResponse": "success#1:bool, error_message#2, pending_count#3:int64",
    "GetLicenseInfoRequest": "context#1:PluginContext",
    "GetLicenseInfoResponse": "license_valid#1:bool, days_remaining#2:int32, license_type#3, "
    f"entitlements#4:repeated string, organization#5, expires_at#6:{TIMESTAMP}",
}

EVENTS: Final = {
    "PublishRequest": "topic#1, payload#2:bytes, direction#3:int32, plugin_id#4",
    "PublishResponse": "success#1:bool, error_message#2, event_id#3",
    "SubscribeRequest": "topic#1, subscribe_all#2:bool, plugin_id#3",
    "EventMessage": "id#1, topic#2, origin#3, direction#4:int32, payload#5:bytes",
    "UnsubscribeRequest": "subscription_id#1",
    "UnsubscribeResponse": "success#1:bool, error_message#2",
}

EXTRAS: Final = {
    "DescribeRequest": "",
    "PluginDescription": "name#1, version#2, description#3, sdk#4, class_name#5, handlers#6:repeated Handler",
    "Handler": "name#1, threaded#2:bool, threads#3:uint32",
    "BatchRequest": "events#1:repeated Event",
    "Event": "kind#1:enum, json#2:bytes",
    "BatchResponse": "responses#1:repeated plugin.DataCollectionResponse",
}

TABLES: Final = {
    "weir_proto/go_plugin.proto": ("plugin", GO_PLUGIN),
    "weir_proto/plugin.proto": ("plugin", PLUGIN),
    "weir_proto/config_provider.proto": ("config_provider", CONFIG_PROVIDER),
    "weir_proto/gateway_services.proto": ("microgateway_management", GATEWAY),
    "weir_proto/plugin_events.proto": ("plugin_events", EVENTS),
    "weir_proto/weir_plugin.proto": ("weir.plugin.v1", EXTRAS),
}

ENUMS: Final = {
    "plugin.StdioData.Channel": {"INVALID": 0, "STDOUT": 1, "STDERR": 2},
    "plugin.AgentMessageChunk.Type": {
        "CONTENT": 0,
        "TOOL_CALL": 1,
        "TOOL_RESULT": 2,
        "THINKING": 3,
        "ERROR": 4,
        "DONE": 5,
    },
    "plugin.OpenSessionResponse.CloseReason": {
        "UNKNOWN": 0,
        "TIMEOUT": 1,
        "EXPLICIT_CLOSE": 2,
        "PLUGIN_ERROR": 3,
    },
    "plugin.EndpointResponseChunk.Type": {"HEADERS": 0, "BODY": 1, "DONE": 2, "ERROR": 3},
    "weir.plugin.v1.Event.Kind": {"UNKNOWN": 0, "PROXY_LOG": 1, "ANALYTICS": 2, "BUDGET_USAGE": 3},
}

# Method: request > answer, with `stream` before what comes more than once.
SERVICES: Final = {
    "plugin.GRPCBroker": {"StartStream": "stream ConnInfo > stream ConnInfo"},
    "plugin.GRPCController": {"Shutdown": "Empty > Empty"},
    "plugin.GRPCStdio": {"StreamStdio": "google.protobuf.Empty > stream StdioData"},
    "plugin.PluginService": {
        "Initialize": "InitRequest > InitResponse",
        "Ping": "PingRequest > PingResponse",
        "Shutdown": "ShutdownRequest > ShutdownResponse",
        "ProcessPreAuth": "PluginRequest > PluginResponse",
        "Authenticate": "AuthRequest > AuthResponse",
        "GetAppByCredential": "GetAppRequest > GetAppResponse",
        "GetUserByCredential": "GetUserRequest > GetUserResponse",
        "ProcessPostAuth": "EnrichedRequest > PluginResponse",
        "OnBeforeWriteHeaders": "HeadersRequest > HeadersResponse",
        "OnBeforeWrite": "ResponseWriteRequest > ResponseWriteResponse",
        "OnStreamComplete": "StreamCompleteRequest > StreamCompleteResponse",
        "HandleProxyLog": "ProxyLogRequest > DataCollectionResponse",
        "HandleAnalytics": "AnalyticsRequest > DataCollectionResponse",
        "HandleBudgetUsage": "BudgetUsageRequest > DataCollectionResponse",
        "GetEndpointRegistrations": "GetEndpointRegistrationsRequest > GetEndpointRegistrationsResponse",
        "HandleEndpointRequest": "EndpointRequest > EndpointResponse",
        "HandleEndpointRequestStream": "EndpointRequest > stream EndpointResponseChunk",
        "OpenSession": "OpenSessionRequest > OpenSessionResponse",
        "CloseSession": "CloseSessionRequest > CloseSessionResponse",
        "GetManifest": "GetManifestRequest > GetManifestResponse",
        "GetConfigSchema": "GetConfigSchemaRequest > GetConfigSchemaResponse",
        "GetAsset": "GetAssetRequest > GetAssetResponse",
        "ListAssets": "ListAssetsRequest > ListAssetsResponse",
        "Call": "CallRequest > CallResponse",
        "PortalCall": "PortalCallRequest > CallResponse",
        "HandleAgentMessage": "AgentMessageRequest > stream AgentMessageChunk",
        "GetObjectHookRegistrations": "GetObjectHookRegistrationsRequest > GetObjectHookRegistrationsResponse",
        "HandleObjectHook": "ObjectHookRequest > ObjectHookResponse",
        "ExecuteScheduledTask": "ExecuteScheduledTaskRequest > ExecuteScheduledTaskResponse",
        "AcceptEdgePayload": "EdgePayloadRequest > EdgePayloadResponse",
        "GetResourceTypeRegistrations": "GetResourceTypeRegistrationsRequest > GetResourceTypeRegistrationsResponse",
        "ListResourceInstances": "ListResourceInstancesRequest > ListResourceInstancesResponse",
        "GetResourceInstance": "GetResourceInstanceRequest > GetResourceInstanceResponse",
        "ValidateResourceSelection": "ValidateResourceSelectionRequest > ValidateResourceSelectionResponse",
        "CreateResourceInstance": "CreateResourceInstanceRequest > CreateResourceInstanceResponse",
    },
    "config_provider.ConfigProviderService": {
        "GetConfigSchema": "ConfigSchemaRequest > ConfigSchemaResponse",
        "GetManifest": "GetManifestRequest > GetManifestResponse",
        "Ping": "ConfigPingRequest > ConfigPingResponse",
    },
    "microgateway_management.MicrogatewayManagementService": {
        name: f"{name}Request > {name}Response"
        for name in (
            "ListLLMs",
            "GetLLM",
            "ListApps",
            "GetApp",
            "GetBudgetStatus",
            "ListModelPrices",
            "GetModelPrice",
            "ValidateCredential",
            "WritePluginKV",
            "ReadPluginKV",
            "DeletePluginKV",
            "QueueControlPayload",
            "GetLicenseInfo",
        )
    },
    "plugin_events.PluginEventService": {
        "Publish": "PublishRequest > PublishResponse",
        "Subscribe": "SubscribeRequest > stream EventMessage",
        "Unsubscribe": "UnsubscribeRequest > UnsubscribeResponse",
    },
    "weir.plugin.v1.PluginExtras": {
        "Describe": "DescribeRequest > PluginDescription",
        "HandleBatch": "BatchRequest > BatchResponse",
    },
}

SCALARS: Final = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
}


def described(file: FileDescriptor) -> dict[str, str]:
    """The file's messages in the notation of the tables."""
    table: dict[str, str] = {}

    def add(message: Descriptor) -> None:
        if message.GetOptions().map_entry:
            return
        fields = sorted(message.fields, key=lambda field: field.number)
        table[local(message, file.package)] = ", ".join(
            f"{field.name}#{field.number}{'' if kind == 'string' else ':' + kind}"
            for field, kind in ((field, kind_of(field, file.package)) for field in fields)
        )
        for nested in message.nested_types:
            add(nested)

    for message in file.message_types_by_name.values():
        add(message)
    return table


def kind_of(field: FieldDescriptor, package: str) -> str:
    """A field's type in the notation of the tables."""
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        entry = [kind_of(part, package) for part in message.fields]
        return "map" if entry == ["string", "string"] else f"map of {entry}"
    kind = SCALARS[field.type] if message is None else local(message, package)
    presence = "?" if message is None and field.has_presence else ""
    return f"repeated {kind}" if field.is_repeated else kind + presence


def local(message: Descriptor, package: str) -> str:
    """A message's name as a file of the package would write it."""
    return message.full_name.removeprefix(f"{package}.")


def signature(method: MethodDescriptor) -> str:
    """A method in the notation of the tables."""
    package = method.containing_service.file.package
    asked = ("stream " if method.client_streaming else "") + local(method.input_type, package)
    answered = ("stream " if method.server_streaming else "") + local(method.output_type, package)
    return f"{asked} > {answered}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_message_has_exactly_the_fields_of_the_wire(file: FileDescriptor) -> None:
    package, table = TABLES[file.name]

    assert file.package == package
    assert described(file) == table


def test_every_enum_has_exactly_the_values_of_the_wire() -> None:
    enums = (
        enum
        for file in FILES
        for message in file.message_types_by_name.values()
        for enum in message.enum_types
    )

    assert {enum.full_name: {value.name: value.number for value in enum.values} for enum in enums} == ENUMS


def test_every_service_has_exactly_the_methods_and_streams_of_the_wire() -> None:
    services = (service for file in FILES for service in file.services_by_name.values())

    assert {
        service.full_name: {method.name: signature(method) for method in service.methods}
        for service in services
    } == SERVICES
