"""The gateway's reads on the wire: apps, LLMs and prices, and the errors of asking for them."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import msgspec

from weir_proto import gateway_services_pb2 as pb
from weir_sdk.errors import (
    MissingScopeError,
    NotFoundError,
    ServiceError,
    ServiceNotAvailableError,
    ServiceUnreachableError,
)
from weir_sdk.services import AppInfo, LlmInfo, ModelPriceInfo

_PER_MILLION: Final = 1_000_000

_ERRORS: Final = MappingProxyType(
    {
        "PERMISSION_DENIED": MissingScopeError,
        "NOT_FOUND": NotFoundError,
        "UNIMPLEMENTED": ServiceNotAvailableError,
        "UNAVAILABLE": ServiceUnreachableError,
        "DEADLINE_EXCEEDED": ServiceUnreachableError,
    }
)


def service_error(code: str, details: str) -> ServiceError:
    """The error of a read that failed, from the name of its gRPC status code and its details."""
    return _ERRORS.get(code, ServiceError)(details)


def service_status(error: ServiceError) -> str:
    """The name of the gRPC status code that says so."""
    return next((code for code, kind in _ERRORS.items() if isinstance(error, kind)), "INTERNAL")


def app_to_wire(app: AppInfo) -> pb.AppInfo:
    """An app, as far as a plugin may know it."""
    return pb.AppInfo(
        id=app.id,
        name=app.name,
        description=app.description,
        owner_email=app.owner_email,
        is_active=app.is_active,
        metadata=msgspec.json.encode(app.metadata).decode(),
        user_id=app.user_id,
        llm_ids=app.llm_ids,
        namespace=app.namespace,
    )


def app_from_wire(wire: pb.AppInfo) -> AppInfo:
    """An app."""
    return AppInfo(
        id=wire.id,
        name=wire.name,
        description=wire.description,
        owner_email=wire.owner_email,
        user_id=wire.user_id if wire.HasField("user_id") else None,
        llm_ids=tuple(wire.llm_ids),
        is_active=wire.is_active,
        namespace=wire.namespace,
        metadata=_object(wire.metadata),
    )


def llm_to_wire(llm: LlmInfo) -> pb.LLMInfo:
    """An LLM, as far as a plugin may know it."""
    return pb.LLMInfo(
        id=llm.id,
        name=llm.name,
        vendor=llm.vendor,
        slug=llm.slug,
        endpoint=llm.api_endpoint,
        has_api_key=llm.has_api_key,
        default_model=llm.default_model or "",
        allowed_models=llm.allowed_models,
        is_active=llm.is_active,
        metadata={name: text for name, text in llm.metadata.items() if isinstance(text, str)},
        metadata_json=msgspec.json.encode(llm.metadata).decode(),
        namespace=llm.namespace,
    )


def llm_from_wire(wire: pb.LLMInfo) -> LlmInfo:
    """An LLM."""
    return LlmInfo(
        id=wire.id,
        name=wire.name,
        slug=wire.slug,
        vendor=wire.vendor,
        api_endpoint=wire.endpoint,
        has_api_key=wire.has_api_key,
        default_model=wire.default_model or None,
        allowed_models=tuple(wire.allowed_models),
        is_active=wire.is_active,
        namespace=wire.namespace,
        metadata=_object(wire.metadata_json) if wire.metadata_json else dict(wire.metadata),
    )


def price_to_wire(price: ModelPriceInfo) -> pb.ModelPriceInfo:
    """A price, for one token as Go plugins read it and exact for ours."""
    return pb.ModelPriceInfo(
        vendor=price.vendor,
        model_name=price.model,
        cpt=_per_token(price.output),
        cpit=_per_token(price.input),
        cache_write_pt=_per_token(price.cache_write),
        cache_read_pt=_per_token(price.cache_read),
        currency=price.currency,
        input=price.input,
        output=price.output,
        cache_read=price.cache_read,
        cache_write=price.cache_write,
        reasoning=price.reasoning,
    )


def price_from_wire(wire: pb.ModelPriceInfo) -> ModelPriceInfo:
    """A price per million tokens; from a host that is not ours, 0 is no price."""
    exact = {
        name: getattr(wire, name)
        for name in ("input", "output", "cache_read", "cache_write", "reasoning")
        if wire.HasField(name)
    }
    rounded = {
        "input": _per_million(wire.cpit),
        "output": _per_million(wire.cpt),
        "cache_read": _per_million(wire.cache_read_pt),
        "cache_write": _per_million(wire.cache_write_pt),
    }
    return ModelPriceInfo(
        vendor=wire.vendor,
        model=wire.model_name,
        currency=wire.currency or "USD",
        **(exact or rounded),
    )


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Any])
    except msgspec.MsgspecError:  # another host's metadata are its own affair
        return {}


def _per_token(price: str | None) -> float:
    return 0.0 if price is None else float(Decimal(price) / _PER_MILLION)


def _per_million(price: float) -> str | None:
    exact = Decimal(repr(price)) * _PER_MILLION
    return format(exact.normalize(), "f") if exact else None
