"""What a gateway does for its plugins: a log, reads of its configuration, and a way to control."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Literal, NoReturn, Protocol, TypeVar

import msgspec

from weir_sdk.errors import ServiceNotAvailableError
from weir_sdk.waiting import wait_in_thread

_Result = TypeVar("_Result")

Runtime = Literal["gateway", "studio"]


class Logger(Protocol):
    """Structured logging: a message, and what belongs to it as keywords."""

    def debug(self, message: str, /, **values: Any) -> None: ...
    def info(self, message: str, /, **values: Any) -> None: ...
    def warning(self, message: str, /, **values: Any) -> None: ...
    def error(self, message: str, /, **values: Any) -> None: ...


class AppInfo(msgspec.Struct, kw_only=True, frozen=True):
    """An app, as far as a plugin may know it."""

    id: int
    name: str
    description: str = ""
    owner_email: str = ""
    user_id: str | None = None
    llm_ids: tuple[int, ...] = ()
    is_active: bool = True
    namespace: str = ""
    metadata: dict[str, Any] = {}


class LlmInfo(msgspec.Struct, kw_only=True, frozen=True):
    """An LLM, as far as a plugin may know it; its key stays in the gateway."""

    id: int
    name: str
    slug: str
    vendor: str
    api_endpoint: str = ""
    has_api_key: bool = False
    default_model: str | None = None
    allowed_models: tuple[str, ...] = ()
    is_active: bool = True
    namespace: str = ""
    metadata: dict[str, Any] = {}


class ModelPriceInfo(msgspec.Struct, kw_only=True, frozen=True):
    """Prices in decimal strings per million tokens; None where there is none of that kind."""

    vendor: str
    model: str
    input: str | None = None
    output: str | None = None
    cache_read: str | None = None
    cache_write: str | None = None
    reasoning: str | None = None
    currency: str = "USD"


class GatewayService(Protocol):
    """Reads of the gateway's configuration and a way to control, each with the service scope that it takes.

    All raise ``MissingScopeError`` without the scope; those for one object raise ``NotFoundError``.
    """

    async def get_app(self, app_id: int) -> AppInfo:
        """One app (``apps.read``)."""
        ...

    async def list_apps(self) -> list[AppInfo]:
        """All apps, by id (``apps.read``)."""
        ...

    async def get_llm(self, llm_id: int) -> LlmInfo:
        """One LLM (``llms.read``)."""
        ...

    async def list_llms(self) -> list[LlmInfo]:
        """All LLMs, by id (``llms.read``)."""
        ...

    async def get_model_price(self, model: str, vendor: str) -> ModelPriceInfo:
        """The price that the gateway charges now (``pricing.read``)."""
        ...

    async def send_to_control(
        self, payload: bytes, correlation_id: str = "", metadata: Mapping[str, str] | None = None
    ) -> int:
        """Send to the studio plugins in control (``control.send``); returns when the payload is durable.

        Args:
            payload: At most 1 MiB.
            correlation_id: Your own; it comes back in the result. At most 256 bytes.
            metadata: Your own. At most 50 entries, keys of 256 and values of 4096 bytes.

        Returns:
            ``pending_count``: how many payloads this edge has sent and has no result for, this one included.

        Raises:
            PayloadTooLarge, MetadataTooLarge: It is over a limit.
            QueueFull: There is no room now.
        """
        ...

    async def send_to_control_json(
        self, value: Any, correlation_id: str = "", metadata: Mapping[str, str] | None = None
    ) -> int:
        """The same with a value that is sent as JSON."""
        ...


class Services:
    """``ctx.services``."""

    __slots__ = ("_gateway", "logger")

    def __init__(self, logger: Logger, gateway: GatewayService | None) -> None:
        self.logger = logger
        self._gateway = gateway

    @property
    def gateway(self) -> GatewayService:
        """The gateway's own services.

        Raises:
            ServiceNotAvailableError: The plugin runs in the studio.
        """
        if self._gateway is None:
            raise ServiceNotAvailableError("services.gateway exists only where ctx.runtime is 'gateway'")
        return self._gateway

    def wait(self, call: Coroutine[Any, Any, _Result]) -> _Result:
        """Wait for a service call in a plain ``def`` handler: ``services.wait(services.gateway.get_app(1))``.

        Raises:
            ServiceError: The handler runs in the event loop (``async def``, or inline): ``await`` the call.
            Exception: What the call raises.
        """
        return wait_in_thread(call)

    @property
    def kv(self) -> NoReturn:
        """The plugin's own key-value store; not available yet."""
        raise ServiceNotAvailableError("services.kv is not available in this version of the gateway")

    @property
    def events(self) -> NoReturn:
        """Publish and subscribe between plugins; not available yet."""
        raise ServiceNotAvailableError("services.events is not available in this version of the gateway")

    @property
    def studio(self) -> NoReturn:
        """The management plane's services; not available yet."""
        raise ServiceNotAvailableError("services.studio is not available in this version of the gateway")
