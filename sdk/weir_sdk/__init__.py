"""Write plugins for the Weir LLM gateway.

Derive from ``BasePlugin``, add the handlers you need, and point the gateway at the class with
``python://your_package.module:YourPlugin``. Test it with ``weir_sdk.testing``.
"""

from weir_sdk.answers import Credential, DataCollectionResponse, PluginResponse
from weir_sdk.capabilities import (
    AuthHandler,
    BatchCollector,
    ConfigSchemaProvider,
    DataCollector,
    ManifestProvider,
    PostAuthHandler,
    PreAuthHandler,
    ResponseHandler,
)
from weir_sdk.context import Context
from weir_sdk.errors import (
    BodyNotJsonError,
    MissingScopeError,
    NotFoundError,
    PermanentError,
    SdkError,
    ServiceError,
    ServiceNotAvailableError,
)
from weir_sdk.events import Analytics, Attempt, BudgetUsage, Event, Latency, ProxyLog
from weir_sdk.headers import Headers
from weir_sdk.plugin import BasePlugin, inline
from weir_sdk.request import Request
from weir_sdk.response import Response, ResponseWriteResponse
from weir_sdk.services import AppInfo, GatewayService, LlmInfo, Logger, ModelPriceInfo, Services

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
    "Event",
    "GatewayService",
    "Headers",
    "Latency",
    "LlmInfo",
    "Logger",
    "ManifestProvider",
    "MissingScopeError",
    "ModelPriceInfo",
    "NotFoundError",
    "PermanentError",
    "PluginResponse",
    "PostAuthHandler",
    "PreAuthHandler",
    "ProxyLog",
    "Request",
    "Response",
    "ResponseHandler",
    "ResponseWriteResponse",
    "SdkError",
    "ServiceError",
    "ServiceNotAvailableError",
    "Services",
    "inline",
]
