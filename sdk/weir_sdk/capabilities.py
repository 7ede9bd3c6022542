"""What a plugin can do: one interface for each capability, and the handlers by the hook types that call them.

Deriving from an interface is optional; it makes Python and type checkers insist on its methods. A plugin that
wants only some of them just defines these.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias, TypeVar, runtime_checkable

from weir_sdk.answers import DataCollectionResponse, PluginResponse
from weir_sdk.context import Context
from weir_sdk.events import Analytics, BudgetUsage, Event, ProxyLog
from weir_sdk.payloads import EdgePayload, PayloadAnswer
from weir_sdk.request import Request
from weir_sdk.response import Response, ResponseWriteResponse
from weir_sdk.stream import StreamComplete

_Result = TypeVar("_Result")
MaybeAwaitable: TypeAlias = _Result | Awaitable[_Result]

HANDLERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "pre_auth": ("handle_pre_auth",),
        "auth": ("handle_auth",),
        "post_auth": ("handle_post_auth",),
        "on_response": ("on_before_write_headers", "on_before_write", "on_stream_complete"),
        "data_collection": (
            "handle_proxy_log",
            "handle_analytics",
            "handle_budget_usage",
            "handle_batch",
        ),
        "studio": ("accept_edge_payload",),
    }
)
"""Hook type to the handlers that serve it; a plugin of that type has at least one of them."""


@runtime_checkable
class PreAuthHandler(Protocol):
    """Sees every call before anybody knows who calls: validation, early refusal, logging."""

    @abstractmethod
    def handle_pre_auth(self, ctx: Context, request: Request) -> MaybeAwaitable[PluginResponse | None]:
        """Change the request in place, or block it."""


@runtime_checkable
class AuthHandler(Protocol):
    """Replaces the gateway's own check of the caller's credential."""

    @abstractmethod
    def handle_auth(self, ctx: Context, request: Request) -> MaybeAwaitable[PluginResponse | None]:
        """Return a response with a ``credential`` to let the caller in, one with ``block`` to refuse.

        None is no answer: the next auth plugin is asked, and after the last the caller is refused. The
        request cannot be changed here.
        """


@runtime_checkable
class PostAuthHandler(Protocol):
    """Sees every call once its caller is known: enrichment, transformation, access control, caches."""

    @abstractmethod
    def handle_post_auth(self, ctx: Context, request: Request) -> MaybeAwaitable[PluginResponse | None]:
        """Change the request in place, block it, or answer it (a block with status 200 and a body)."""


@runtime_checkable
class ResponseHandler(Protocol):
    """Changes answers: headers first, then the body, or every event of a stream."""

    @abstractmethod
    def on_before_write_headers(
        self, ctx: Context, response: Response
    ) -> MaybeAwaitable[ResponseWriteResponse | None]:
        """Before the first byte; the body of a stream is not there yet."""

    @abstractmethod
    def on_before_write(
        self, ctx: Context, response: Response
    ) -> MaybeAwaitable[ResponseWriteResponse | None]:
        """The whole body, or one event of a stream."""


@runtime_checkable
class StreamCompleteHandler(Protocol):
    """Sees streams as a whole once they are over: caches, checks of the whole text."""

    @abstractmethod
    def on_stream_complete(self, ctx: Context, stream: StreamComplete) -> MaybeAwaitable[None]:
        """After the last byte, also when the client has hung up. Nothing can be changed any more."""


@runtime_checkable
class DataCollector(Protocol):
    """Reads the three events of every call, after the client has its answer."""

    @abstractmethod
    def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> MaybeAwaitable[DataCollectionResponse | None]:
        """What was asked and answered."""

    @abstractmethod
    def handle_analytics(
        self, ctx: Context, analytics: Analytics
    ) -> MaybeAwaitable[DataCollectionResponse | None]:
        """What it consumed and cost."""

    @abstractmethod
    def handle_budget_usage(
        self, ctx: Context, usage: BudgetUsage
    ) -> MaybeAwaitable[DataCollectionResponse | None]:
        """What it takes from a budget."""


@runtime_checkable
class BatchCollector(Protocol):
    """Reads events many at a time; then the single handlers are not called."""

    @abstractmethod
    def handle_batch(
        self, ctx: Context, events: Sequence[Event]
    ) -> MaybeAwaitable[Sequence[DataCollectionResponse | None] | None]:
        """Return one response for each event, in order; None alone means all collected, none handled."""


@runtime_checkable
class EdgePayloadReceiver(Protocol):
    """Gets, in control, what plugins at the edge send with ``send_to_control``; hook type ``studio``."""

    @abstractmethod
    def accept_edge_payload(self, ctx: Context, payload: EdgePayload) -> MaybeAwaitable[PayloadAnswer]:
        """Take a payload. It may come more than once: ``payload.id`` says which one it is.

        Return True (or None) for handled, False to let other studio plugins see it, or an
        ``EdgePayloadResponse``; raise to get it again later.
        """


@runtime_checkable
class ConfigSchemaProvider(Protocol):
    """Says what its configuration looks like."""

    @abstractmethod
    def get_config_schema(self) -> dict[str, Any] | str | bytes:
        """A JSON Schema, draft-07 or 2020-12, as an object or as JSON text. Called before ``initialize``."""


@runtime_checkable
class ManifestProvider(Protocol):
    """Describes itself to the management plane."""

    @abstractmethod
    def get_manifest(self) -> dict[str, Any] | str | bytes:
        """The manifest, as an object or as JSON text."""
