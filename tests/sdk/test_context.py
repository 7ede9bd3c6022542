from __future__ import annotations

import pytest

from weir_sdk import ServiceNotAvailableError, Services
from weir_sdk.context import CallInfo, Context, Surroundings
from weir_sdk.testing import FakeGateway, RecordingLogger, make_context


def context_of(call: CallInfo) -> Context:
    services = Services(RecordingLogger(), FakeGateway())
    return Context(call, Surroundings(runtime="gateway", services=services, edge_id="e", edge_namespace="n"))


def test_it_shows_the_facts_of_the_call() -> None:
    call = CallInfo(
        request_id="r",
        llm_id=1,
        llm_slug="my-llm",
        vendor="openai",
        app_id=7,
        user_id="ada",
        trace_context={"traceparent": "00-1-2-01"},
    )
    ctx = context_of(call)
    assert (ctx.request_id, ctx.llm_id, ctx.llm_slug, ctx.vendor) == ("r", 1, "my-llm", "openai")
    assert (ctx.app_id, ctx.user_id, ctx.trace_context) == (7, "ada", {"traceparent": "00-1-2-01"})
    assert (ctx.runtime, ctx.edge_id, ctx.edge_namespace) == ("gateway", "e", "n")


def test_metadata_are_written_to_a_copy() -> None:
    call = CallInfo(metadata={"a": "1"})
    ctx = context_of(call)
    assert ctx.touched_metadata is None
    ctx.metadata["b"] = "2"
    assert call.metadata == {"a": "1"}
    assert ctx.touched_metadata == {"a": "1", "b": "2"}


@pytest.mark.parametrize("service", ["kv", "events", "studio"])
def test_services_to_come_say_that_they_are_not_there(service: str) -> None:
    with pytest.raises(ServiceNotAvailableError, match=f"services.{service} is not available"):
        getattr(make_context().services, service)


def test_the_studio_has_no_gateway_service() -> None:
    with pytest.raises(ServiceNotAvailableError, match="runtime is 'gateway'"):
        _ = make_context(runtime="studio").services.gateway
