"""Write plugins for the Weir LLM gateway.

Derive from ``BasePlugin``, add the handlers you need, and point the gateway at the class with
``python://your_package.module:YourPlugin``; or end a script with ``serve(YourPlugin)`` and point the gateway
at the script with ``file:///path/to/script``. Test it with ``weir_sdk.testing``.
"""

from weir_sdk.answers import Credential, DataCollectionResponse, PluginResponse
from weir_sdk.capabilities import (
    AuthHandler,
    BatchCollector,
    ConfigSchemaProvider,
    DataCollector,
    EdgePayloadReceiver,
    ManifestProvider,
    PostAuthHandler,
    PreAuthHandler,
    ResponseHandler,
    StreamCompleteHandler,
)
from weir_sdk.context import Context
from weir_sdk.errors import (
    BodyNotJsonError,
    MetadataTooLarge,
    MissingScopeError,
    NotFoundError,
    PayloadTooLarge,
    PermanentError,
    QueueFull,
    SdkError,
    ServiceError,
    ServiceNotAvailableError,
    ServiceUnreachableError,
)
from weir_sdk.events import Analytics, Attempt, BudgetUsage, Event, Latency, ProxyLog
from weir_sdk.headers import Headers
from weir_sdk.payloads import EdgePayload, EdgePayloadResponse
from weir_sdk.plugin import BasePlugin, inline
from weir_sdk.request import Request
from weir_sdk.response import Response, ResponseWriteResponse
from weir_sdk.services import AppInfo, GatewayService, LlmInfo, Logger, ModelPriceInfo, Services
from weir_sdk.serving import serve
from weir_sdk.stream import StreamComplete

__all__ = [
    "Analytics",
    "AppInfo",
    "Attempt",
    "AuthHandler",
    "BasePlugin",
    "BatchCollector",
    "BodyNotJsonError",
    "BudgetUsage",
    "ConfigSchemaProvider",
    "Context",
    "Credential",
    "DataCollectionResponse",
    "DataCollector",
    "EdgePayload",
    "EdgePayloadReceiver",
    "EdgePayloadResponse",
    "Event",
    "GatewayService",
    "Headers",
    "Latency",
    "LlmInfo",
    "Logger",
    "ManifestProvider",
    "MetadataTooLarge",
    "MissingScopeError",
    "ModelPriceInfo",
    "NotFoundError",
    "PayloadTooLarge",
    "PermanentError",
    "PluginResponse",
    "PostAuthHandler",
    "PreAuthHandler",
    "ProxyLog",
    "QueueFull",
    "Request",
    "Response",
    "ResponseHandler",
    "ResponseWriteResponse",
    "SdkError",
    "ServiceError",
    "ServiceNotAvailableError",
    "ServiceUnreachableError",
    "Services",
    "StreamComplete",
    "StreamCompleteHandler",
    "inline",
    "serve",
]
