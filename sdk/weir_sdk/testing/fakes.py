"""A gateway and a log that hold what a test puts into them and what a plugin does to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from weir_sdk.errors import MissingScopeError, NotFoundError
from weir_sdk.payloads import EdgePayload, check_payload, payload_json
from weir_sdk.services import AppInfo, LlmInfo, ModelPriceInfo

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class LogLine:
    """One line that a plugin logged."""

    level: str
    message: str
    values: dict[str, Any]


@dataclass
class RecordingLogger:
    """Keeps what a plugin logs in ``lines``."""

    lines: list[LogLine] = field(default_factory=list)

    def debug(self, message: str, /, **values: Any) -> None:
        """Keep a line."""
        self.lines.append(LogLine("debug", message, values))

    def info(self, message: str, /, **values: Any) -> None:
        """Keep a line."""
        self.lines.append(LogLine("info", message, values))

    def warning(self, message: str, /, **values: Any) -> None:
        """Keep a line."""
        self.lines.append(LogLine("warning", message, values))

    def error(self, message: str, /, **values: Any) -> None:
        """Keep a line."""
        self.lines.append(LogLine("error", message, values))


class FakeGateway:
    """``ctx.services.gateway`` with what a test puts into it.

    What the plugin sends to control is kept in ``sent``, within the limits that a gateway has.

    Args:
        apps: Apps that can be read.
        llms: LLMs that can be read.
        prices: Prices that can be read.
        scopes: The service scopes that the plugin has; all of them unless given.
    """

    def __init__(
        self,
        *,
        apps: Iterable[AppInfo] = (),
        llms: Iterable[LlmInfo] = (),
        prices: Iterable[ModelPriceInfo] = (),
        scopes: Iterable[str] = ("apps.read", "llms.read", "pricing.read", "control.send"),
    ) -> None:
        self.sent: list[EdgePayload] = []
        self._apps = {app.id: app for app in apps}
        self._llms = {llm.id: llm for llm in llms}
        self._prices = {(price.model, price.vendor): price for price in prices}
        self._scopes = frozenset(scopes)

    async def get_app(self, app_id: int) -> AppInfo:
        """One app."""
        return self._one(self._apps, app_id, "apps.read")

    async def list_apps(self) -> list[AppInfo]:
        """All apps, by id."""
        self._require("apps.read")
        return [app for _, app in sorted(self._apps.items())]

    async def get_llm(self, llm_id: int) -> LlmInfo:
        """One LLM."""
        return self._one(self._llms, llm_id, "llms.read")

    async def list_llms(self) -> list[LlmInfo]:
        """All LLMs, by id."""
        self._require("llms.read")
        return [llm for _, llm in sorted(self._llms.items())]

    async def get_model_price(self, model: str, vendor: str) -> ModelPriceInfo:
        """One price."""
        return self._one(self._prices, (model, vendor), "pricing.read")

    async def send_to_control(
        self, payload: bytes, correlation_id: str = "", metadata: Mapping[str, str] | None = None
    ) -> int:
        """Keep a payload."""
        self._require("control.send")
        check_payload(payload, correlation_id, metadata or {})
        self.sent.append(
            EdgePayload(
                id=f"payload-{len(self.sent) + 1}",
                payload=bytes(payload),
                correlation_id=correlation_id,
                metadata=dict(metadata or {}),
            )
        )
        return len(self.sent)

    async def send_to_control_json(
        self, value: Any, correlation_id: str = "", metadata: Mapping[str, str] | None = None
    ) -> int:
        """Keep a payload of JSON."""
        return await self.send_to_control(payload_json(value), correlation_id, metadata)

    def _one(self, items: Mapping[Any, _Item], key: object, scope: str) -> _Item:
        self._require(scope)
        if key not in items:
            raise NotFoundError(f"the fake gateway has nothing under {key!r}")
        return items[key]

    def _require(self, scope: str) -> None:
        if scope not in self._scopes:
            raise MissingScopeError(f"the fake gateway was made without the scope {scope}")
