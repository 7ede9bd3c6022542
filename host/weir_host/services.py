"""The gateway's services, as plugins in this process get them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import msgspec

from weir_core.blotting import blot_out
from weir_core.errors import WeirError
from weir_core.objects import App, Llm, ModelPrice, Plugin
from weir_core.snapshot import Snapshot
from weir_host.payloads import PayloadQueue
from weir_sdk import (
    AppInfo,
    LlmInfo,
    Logger,
    MetadataTooLarge,
    MissingScopeError,
    ModelPriceInfo,
    NotFoundError,
    QueueFull,
    ServiceNotAvailableError,
)
from weir_sdk.payloads import check_payload, payload_json

if TYPE_CHECKING:
    from weir_core.prices import PriceTable

GatewayReads: TypeAlias = Callable[[], Snapshot]
"""Returns the snapshot in force; what plugins read of the configuration comes from it."""

Prices: TypeAlias = "Callable[[Snapshot], Awaitable[PriceTable]]"
"""Returns the price table of a snapshot."""

_Item = TypeVar("_Item")

_LOGS_OWN: Final = frozenset({"self", "event", "exc_info", "stack_info"})
"""Names that structlog takes for its own."""


class SnapshotGateway:
    """``ctx.services.gateway``: reads of the snapshot, without its secrets, and payloads for control."""

    def __init__(
        self, plugin: Plugin, reads: GatewayReads, prices: Prices, payloads: PayloadQueue | None = None
    ) -> None:
        self._payloads = payloads
        self._plugin = plugin
        self._reads = reads
        self._prices = prices

    async def get_app(self, app_id: int) -> AppInfo:
        """One app."""
        return _app_info(_found(self._read("apps.read").apps, app_id, "app"))

    async def list_apps(self) -> list[AppInfo]:
        """All apps, by id."""
        return [_app_info(app) for _, app in sorted(self._read("apps.read").apps.items())]

    async def get_llm(self, llm_id: int) -> LlmInfo:
        """One LLM."""
        return _llm_info(_found(self._read("llms.read").llms, llm_id, "LLM"))

    async def list_llms(self) -> list[LlmInfo]:
        """All LLMs, by id."""
        return [_llm_info(llm) for _, llm in sorted(self._read("llms.read").llms.items())]

    async def get_model_price(self, model: str, vendor: str) -> ModelPriceInfo:
        """The standard price: the admin's, else the published one."""
        table = await self._prices(self._read("pricing.read"))
        rates = table.rates(vendor, model)
        if rates is None:
            raise NotFoundError(f"there is no price for model {model!r} of vendor {vendor!r}")
        return ModelPriceInfo(
            vendor=vendor,
            model=model,
            input=_plain(rates.prices.input),
            output=_plain(rates.prices.output),
            cache_read=_plain(rates.prices.cache_read),
            cache_write=_plain(rates.prices.cache_write),
            reasoning=_plain(rates.prices.reasoning),
            currency=table.currency,
        )

    def list_own_prices(self, vendor: str = "") -> list[ModelPriceInfo]:
        """The admin's own prices, of one vendor or of all."""
        rows = self._read("pricing.read").model_prices
        return [_own_price(row) for row in rows if vendor in ("", row.vendor)]

    async def send_to_control(
        self, payload: bytes, correlation_id: str = "", metadata: Mapping[str, str] | None = None
    ) -> int:
        """Keep a payload for control; returns when it is durable."""
        self._require("control.send")
        metadata = metadata or {}
        check_payload(payload, correlation_id, metadata)
        if self._payloads is None:
            raise ServiceNotAvailableError("nothing can be sent to control from this process")
        plugin = self._plugin
        try:
            return await self._payloads.send(plugin.id, plugin.slug, bytes(payload), correlation_id, metadata)
        except WeirError as error:
            raise (QueueFull if error.retryable else MetadataTooLarge)(str(error)) from error

    async def send_to_control_json(
        self, value: Any, correlation_id: str = "", metadata: Mapping[str, str] | None = None
    ) -> int:
        """The same with a value that is sent as JSON."""
        return await self.send_to_control(payload_json(value), correlation_id, metadata)

    def _read(self, scope: str) -> Snapshot:
        self._require(scope)
        return self._reads()

    def _require(self, scope: str) -> None:
        if scope not in self._plugin.service_scopes:
            raise MissingScopeError(
                f"plugin {self._plugin.name!r} lacks the scope {scope}; an admin adds it to service_scopes"
            )


class PluginLogger:
    """``ctx.services.logger``: the gateway's log, each line marked with the plugin, without its secrets."""

    def __init__(self, logger: Logger, plugin: str, secrets: Sequence[Any] = ()) -> None:
        self._logger = logger
        self._plugin = plugin
        self._secrets = secrets

    def debug(self, message: str, /, **values: Any) -> None:
        """For whoever debugs the plugin."""
        self._logger.debug(self._said(message), **self._marked(values))

    def info(self, message: str, /, **values: Any) -> None:
        """What happened."""
        self._logger.info(self._said(message), **self._marked(values))

    def warning(self, message: str, /, **values: Any) -> None:
        """What somebody should look at."""
        self._logger.warning(self._said(message), **self._marked(values))

    def error(self, message: str, /, **values: Any) -> None:
        """What somebody must look at."""
        self._logger.error(self._said(message), **self._marked(values))

    def _marked(self, values: dict[str, Any]) -> dict[str, Any]:
        said = {name: self._said(value) for name, value in values.items()}
        kept = {f"{name}_" if name in _LOGS_OWN else name: value for name, value in said.items()}
        return {**kept, "plugin": self._plugin}

    def _said(self, value: Any) -> Any:
        """The same value, unless it has a secret in it: then its text without that."""
        text = str(value) if self._secrets else ""
        blotted = blot_out(text, self._secrets)
        return value if blotted == text else blotted


def _found(items: Mapping[int, _Item], item_id: int, kind: str) -> _Item:
    item = items.get(item_id)
    if item is None:
        raise NotFoundError(f"there is no {kind} with id {item_id!r}")
    return item


def _app_info(app: App) -> AppInfo:
    return AppInfo(
        id=app.id,
        name=app.name,
        description=app.description,
        owner_email=app.owner_email,
        user_id=app.user_id,
        llm_ids=app.llm_ids,
        is_active=app.is_active,
        namespace=app.namespace,
        metadata=_copied(app.metadata),
    )


def _llm_info(llm: Llm) -> LlmInfo:
    return LlmInfo(
        id=llm.id,
        name=llm.name,
        slug=llm.slug,
        vendor=llm.vendor,
        api_endpoint=llm.api_endpoint,
        has_api_key=llm.api_key is not None,
        default_model=llm.default_model,
        allowed_models=llm.allowed_models,
        is_active=llm.is_active,
        namespace=llm.namespace,
        metadata=_copied(llm.metadata),
    )


def _own_price(row: ModelPrice) -> ModelPriceInfo:
    return ModelPriceInfo(
        vendor=row.vendor,
        model=row.model,
        input=row.input,
        output=row.output,
        cache_read=row.cache_read,
        cache_write=row.cache_write,
        reasoning=row.reasoning,
        currency=row.currency,
    )


def _plain(price: Decimal | None) -> str | None:
    return None if price is None else format(price.normalize(), "f")


def _copied(metadata: dict[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = msgspec.to_builtins(metadata)
    return copied
