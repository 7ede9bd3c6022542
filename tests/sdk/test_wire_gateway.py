from __future__ import annotations

import pytest

from weir_sdk import (
    AppInfo,
    LlmInfo,
    MissingScopeError,
    ModelPriceInfo,
    NotFoundError,
    ServiceError,
    ServiceNotAvailableError,
    ServiceUnreachableError,
)
from weir_sdk.wire import gateway

APP = AppInfo(
    id=7,
    name="search",
    description="d",
    owner_email="a@example.com",
    user_id="ada",
    llm_ids=(1, 2),
    is_active=False,
    namespace="eu",
    metadata={"team": "blue", "n": 1},
)
LLM = LlmInfo(
    id=1,
    name="gpt",
    slug="gpt",
    vendor="openai",
    api_endpoint="https://api.example.com/v1",
    has_api_key=True,
    default_model="gpt-4o",
    allowed_models=("gpt-.*",),
    namespace="eu",
    metadata={"tier": 1, "name": "a"},
)
PRICE = ModelPriceInfo(
    vendor="openai",
    model="gpt-4o",
    input="2.5",
    output="10",
    cache_read="1.25",
    reasoning="0",
    currency="EUR",
)


def test_reads_arrive_whole() -> None:
    assert gateway.app_from_wire(gateway.app_to_wire(APP)) == APP
    assert gateway.llm_from_wire(gateway.llm_to_wire(LLM)) == LLM
    assert gateway.price_from_wire(gateway.price_to_wire(PRICE)) == PRICE
    bare = AppInfo(id=1, name="a")
    assert gateway.app_from_wire(gateway.app_to_wire(bare)) == bare


def test_go_plugins_read_prices_for_one_token() -> None:
    wire = gateway.price_to_wire(PRICE)
    assert (wire.cpit, wire.cpt, wire.cache_read_pt, wire.cache_write_pt) == (2.5e-06, 1e-05, 1.25e-06, 0.0)


def test_a_go_hosts_prices_are_taken_from_those() -> None:
    wire = gateway.price_to_wire(PRICE)
    for name in ("input", "output", "cache_read", "reasoning"):
        wire.ClearField(name)
    read = gateway.price_from_wire(wire)
    assert (read.input, read.output, read.cache_read, read.cache_write) == ("2.5", "10", "1.25", None)


def test_a_go_hosts_metadata_may_be_anything() -> None:
    wire = gateway.app_to_wire(APP)
    wire.metadata = "not JSON"
    assert gateway.app_from_wire(wire).metadata == {}
    llm = gateway.llm_to_wire(LLM)
    llm.metadata_json = ""
    assert gateway.llm_from_wire(llm).metadata == {"name": "a"}


@pytest.mark.parametrize(
    "error",
    [
        MissingScopeError("lacks apps.read"),
        NotFoundError("no app 7"),
        ServiceNotAvailableError("not here"),
        ServiceUnreachableError("gone"),
        ServiceError("failed"),
    ],
)
def test_errors_of_reads_travel_with_their_kind(error: ServiceError) -> None:
    read = gateway.service_error(gateway.service_status(error), str(error))
    assert (type(read), str(read)) == (type(error), str(error))
