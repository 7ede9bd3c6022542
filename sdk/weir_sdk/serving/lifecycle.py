"""A plugin's life as its host steers it: initialize, sessions, shutdown; and what it says of itself."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import metadata
from typing import Any, Final

import msgspec

from weir_proto import config_provider_pb2 as config_pb
from weir_proto import plugin_pb2 as pb
from weir_proto import weir_plugin_pb2 as extras
from weir_sdk.context import CallInfo
from weir_sdk.serving.handlers import THREADS
from weir_sdk.serving.methods import Unary
from weir_sdk.serving.plugin import ServedPlugin
from weir_sdk.wire.config import CONFIG_JSON, beginning_from_wire
from weir_sdk.wire.failures import described

_SESSION_S: Final = 30.0
_SHUTDOWN_S: Final = 5.0
_CloseReason: Final = pb.OpenSessionResponse.CloseReason


class Lifecycle:
    """Brings the plugin up and down, once each."""

    def __init__(self, served: ServedPlugin) -> None:
        self._served = served
        self._sessions: set[asyncio.Future[int]] = set()
        self._needs_shutdown = False

    @property
    def methods(self) -> Mapping[str, Unary]:
        """By their names in PluginService."""
        return {
            "Initialize": self.initialize,
            "Ping": self.ping,
            "Shutdown": self.shutdown,
            "OpenSession": self.open_session,
            "CloseSession": self.close_session,
        }

    async def initialize(self, wire: pb.InitRequest) -> pb.InitResponse:
        """Run ``initialize`` with the plugin's configuration."""
        served = self._served
        try:
            beginning = beginning_from_wire(wire.config)
            served.begin(beginning, host_is_ours=CONFIG_JSON in wire.config)
            self._needs_shutdown = True
            run = served.handlers.invocation(served.plugin.initialize)
            await run(served.context(CallInfo()), beginning.config)
        except Exception as error:  # noqa: BLE001 - foreign code, and its host is told
            self._needs_shutdown = False
            return pb.InitResponse(success=False, error_message=described(error))
        return pb.InitResponse(success=True)

    async def ping(self, _: pb.PingRequest) -> pb.PingResponse:
        """Say that the event loop turns."""
        return pb.PingResponse(timestamp=int(time.time()), healthy=True)

    async def shutdown(self, wire: pb.ShutdownRequest) -> pb.ShutdownResponse:
        """End the sessions and run ``shutdown``."""
        self._end_sessions(_CloseReason.EXPLICIT_CLOSE)
        return pb.ShutdownResponse(success=await self.release(float(wire.timeout_seconds) or _SHUTDOWN_S))

    async def release(self, within_s: float = _SHUTDOWN_S) -> bool:
        """Run ``shutdown`` unless it has run; false when it failed or took longer."""
        if not self._needs_shutdown:
            return True
        self._needs_shutdown = False
        served = self._served
        try:
            async with asyncio.timeout(within_s):
                await served.handlers.invocation(served.plugin.shutdown)(served.context(CallInfo()))
        except Exception as error:  # noqa: BLE001 - foreign code, and it is gone either way
            served.warn("plugin failed in shutdown", error=described(error))
            return False
        return True

    async def open_session(self, wire: pb.OpenSessionRequest) -> pb.OpenSessionResponse:
        """Wait for the session's time to be over, or for its end."""
        self._served.gateway.introduce(wire.plugin_id, wire.service_broker_id)
        closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._sessions.add(closed)
        reason = int(_CloseReason.TIMEOUT)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(wire.timeout_ms / 1000 if wire.timeout_ms > 0 else _SESSION_S):
                    reason = await closed
        finally:
            self._sessions.discard(closed)
        return pb.OpenSessionResponse(
            success=True,
            session_id=f"session-{wire.plugin_id}-{wire.service_broker_id}",
            close_reason=_CloseReason.Name(reason),
        )

    async def close_session(self, wire: pb.CloseSessionRequest) -> pb.CloseSessionResponse:
        """End the open sessions."""
        timeout = wire.reason == "timeout"
        self._end_sessions(_CloseReason.TIMEOUT if timeout else _CloseReason.EXPLICIT_CLOSE)
        return pb.CloseSessionResponse(success=True)

    def _end_sessions(self, reason: int) -> None:
        for closed in self._sessions:
            if not closed.done():
                closed.set_result(reason)


class Description:
    """What the plugin says of itself, initialised or not."""

    def __init__(self, served: ServedPlugin) -> None:
        self._served = served

    @property
    def methods(self) -> Mapping[str, Unary]:
        """By their names in PluginService."""
        return {"GetConfigSchema": self.config_schema, "GetManifest": self.manifest}

    @property
    def provider_methods(self) -> Mapping[str, Unary]:
        """By their names in ConfigProviderService."""
        return {
            "GetConfigSchema": self.provided_config_schema,
            "GetManifest": self.provided_manifest,
            "Ping": self.provider_ping,
        }

    async def describe(self, _: extras.DescribeRequest) -> extras.PluginDescription:
        """Say what the plugin can do."""
        plugin = self._served.plugin
        return extras.PluginDescription(
            name=plugin.name,
            version=plugin.version,
            description=plugin.description,
            sdk=f"weir_sdk/{_sdk_version()} python/{platform.python_version()}",
            class_name=type(plugin).__name__,
            handlers=[
                extras.Handler(name=name, threaded=threaded, threads=THREADS if threaded else 0)
                for name, threaded in self._served.handlers.threaded().items()
            ],
        )

    async def config_schema(self, _: pb.GetConfigSchemaRequest) -> pb.GetConfigSchemaResponse:
        """Run ``get_config_schema``."""
        text, error = await self._text_of("get_config_schema", "{}")
        return pb.GetConfigSchemaResponse(success=not error, schema_json=text, error_message=error)

    async def manifest(self, _: pb.GetManifestRequest) -> pb.GetManifestResponse:
        """Run ``get_manifest``."""
        text, error = await self._text_of("get_manifest", "")
        error = error or ("" if text else "the plugin has no manifest")
        return pb.GetManifestResponse(success=not error, manifest_json=text, error_message=error)

    async def provided_config_schema(
        self, _: config_pb.ConfigSchemaRequest
    ) -> config_pb.ConfigSchemaResponse:
        """Run ``get_config_schema``."""
        text, error = await self._text_of("get_config_schema", "{}")
        return config_pb.ConfigSchemaResponse(success=not error, schema_json=text, error_message=error)

    async def provided_manifest(self, _: config_pb.GetManifestRequest) -> config_pb.GetManifestResponse:
        """Run ``get_manifest``; a plugin without one has an empty one here."""
        text, error = await self._text_of("get_manifest", "{}")
        return config_pb.GetManifestResponse(success=not error, manifest_json=text, error_message=error)

    async def provider_ping(self, _: config_pb.ConfigPingRequest) -> config_pb.ConfigPingResponse:
        """Say that the event loop turns."""
        return config_pb.ConfigPingResponse(timestamp=int(time.time()), healthy=True)

    async def _text_of(self, name: str, default: str) -> tuple[str, str]:
        """What one of the plugin's own documents holds, as JSON text, and why it cannot be had."""
        provide: Callable[..., Any] | None = getattr(self._served.plugin, name, None)
        if provide is None:
            return default, ""
        try:
            given = await self._served.handlers.in_thread(provide)
            text = given if isinstance(given, str | bytes) else msgspec.json.encode(given)
            return (text if isinstance(text, str) else text.decode()), ""
        except Exception as error:  # noqa: BLE001 - foreign code, and its host is told
            return "", f"{name} failed: {described(error)}"


def _sdk_version() -> str:
    try:
        return metadata.version("weir-gateway")
    except metadata.PackageNotFoundError:  # run from its sources
        return "unknown"
