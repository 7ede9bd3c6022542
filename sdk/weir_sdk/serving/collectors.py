"""The collectors' handlers, as PluginService and PluginExtras call them."""

from __future__ import annotations

from collections.abc import Mapping

from weir_proto import plugin_pb2 as pb
from weir_proto import weir_plugin_pb2 as extras
from weir_sdk.answers import DataCollectionResponse
from weir_sdk.context import CallInfo
from weir_sdk.events import Event
from weir_sdk.outcomes import batch_outcome, collector_outcome
from weir_sdk.serving.handlers import failed
from weir_sdk.serving.methods import FailedCallError, Unary
from weir_sdk.serving.plugin import ServedPlugin
from weir_sdk.wire.collected import batch_collected_to_wire, batch_from_wire, collected_to_wire
from weir_sdk.wire.events import analytics_from_wire, budget_usage_from_wire, proxy_log_from_wire
from weir_sdk.wire.failures import described


class Collectors:
    """Each event goes to its handler, or to ``handle_batch`` where the plugin has only that.

    The reference gateway stands still when a collector fails. There a failure is logged, and the event counts
    as collected but not handled, so that the gateway keeps its record of it.
    """

    def __init__(self, served: ServedPlugin) -> None:
        self._served = served

    @property
    def methods(self) -> Mapping[str, Unary]:
        """By their names in PluginService."""
        return {
            "HandleProxyLog": self.proxy_log,
            "HandleAnalytics": self.analytics,
            "HandleBudgetUsage": self.budget_usage,
        }

    async def proxy_log(self, wire: pb.ProxyLogRequest) -> pb.DataCollectionResponse:
        """Run ``handle_proxy_log``."""
        return await self._collect("handle_proxy_log", *proxy_log_from_wire(wire))

    async def analytics(self, wire: pb.AnalyticsRequest) -> pb.DataCollectionResponse:
        """Run ``handle_analytics``."""
        return await self._collect("handle_analytics", *analytics_from_wire(wire))

    async def budget_usage(self, wire: pb.BudgetUsageRequest) -> pb.DataCollectionResponse:
        """Run ``handle_budget_usage``."""
        return await self._collect("handle_budget_usage", *budget_usage_from_wire(wire))

    async def batch(self, wire: extras.BatchRequest) -> extras.BatchResponse:
        """Run ``handle_batch``."""
        if self._served.handlers.get("handle_batch") is None:
            raise FailedCallError("UNIMPLEMENTED", "the plugin has no handle_batch")
        try:
            return batch_collected_to_wire(await self._batch(batch_from_wire(wire)))
        except Exception as error:
            raise failed(error) from error

    async def _collect(self, name: str, call: CallInfo, event: Event) -> pb.DataCollectionResponse:
        try:
            response = await self._collected(name, call, event)
        except Exception as error:
            if self._served.host_is_ours:
                raise failed(error) from error
            response = DataCollectionResponse(success=False, error_message=described(error))
        if not response.success and not self._served.host_is_ours:
            why = response.error_message
            self._served.warn("not collected", handler=name, event_id=event.event_id, error=why)
            response = DataCollectionResponse(error_message=why)
        return collected_to_wire(response)

    async def _collected(self, name: str, call: CallInfo, event: Event) -> DataCollectionResponse:
        handler = self._served.handlers.get(name)
        if handler is not None:
            return collector_outcome(await handler(self._served.context(call), event))
        if self._served.handlers.get("handle_batch") is not None:
            return (await self._batch([event]))[0]
        return DataCollectionResponse()

    async def _batch(self, events: list[Event]) -> list[DataCollectionResponse]:
        handler = self._served.handlers.get("handle_batch")
        assert handler is not None
        return batch_outcome(await handler(self._served.context(CallInfo()), events), len(events))
