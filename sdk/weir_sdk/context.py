"""What surrounds a call: ids, metadata, trace, and the services of the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from weir_sdk.events import Event, ProxyLog
from weir_sdk.services import Runtime, Services


@dataclass(slots=True, kw_only=True)
class CallInfo:
    """The facts of one call that all its hooks share. None (or an empty text) is what is not known yet."""

    request_id: str = ""
    llm_id: int | None = None
    llm_slug: str = ""
    vendor: str = ""
    app_id: int | None = None
    user_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    trace_context: dict[str, str] = field(default_factory=dict)


def call_of(event: Event) -> CallInfo:
    """The facts of the call that an event tells of, for its collector's context."""
    metadata = {"event_id": event.event_id}
    if isinstance(event, ProxyLog):
        metadata |= {name: value for name, value in event.metadata.items() if isinstance(value, str)}
    return CallInfo(
        request_id=event.request_id,
        llm_id=event.llm_id,
        llm_slug=event.llm_slug or "",
        vendor=event.vendor or "",
        app_id=event.app_id,
        user_id=event.user_id,
        metadata=metadata,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What stays the same for all calls of one plugin in one process."""

    runtime: Runtime
    services: Services
    edge_id: str = ""
    edge_namespace: str = ""


class Context:
    """The first argument of every handler. Made anew for each call of a handler."""

    __slots__ = ("_call", "_metadata", "_surroundings")

    def __init__(self, call: CallInfo, surroundings: Surroundings) -> None:
        self._call = call
        self._surroundings = surroundings
        self._metadata: dict[str, str] | None = None

    @property
    def runtime(self) -> Runtime:
        """``gateway`` or ``studio``."""
        return self._surroundings.runtime

    @property
    def services(self) -> Services:
        """The gateway's services: ``logger``, ``gateway``."""
        return self._surroundings.services

    @property
    def edge_id(self) -> str:
        """Which gateway this is."""
        return self._surroundings.edge_id

    @property
    def edge_namespace(self) -> str:
        """The namespace that this gateway serves."""
        return self._surroundings.edge_namespace

    @property
    def request_id(self) -> str:
        """The id that the client, every hook and all events of this call have in common."""
        return self._call.request_id

    @property
    def llm_id(self) -> int | None:
        """The LLM that is called."""
        return self._call.llm_id

    @property
    def llm_slug(self) -> str:
        """Its slug."""
        return self._call.llm_slug

    @property
    def vendor(self) -> str:
        """Its vendor, for example ``openai``."""
        return self._call.vendor

    @property
    def app_id(self) -> int | None:
        """The calling app, once it is known."""
        return self._call.app_id

    @property
    def user_id(self) -> str | None:
        """The calling user, once it is known."""
        return self._call.user_id

    @property
    def trace_context(self) -> Mapping[str, str]:
        """W3C trace context: ``traceparent``, ``tracestate``."""
        return self._call.trace_context

    @property
    def metadata(self) -> dict[str, str]:
        """Notes from hook to hook, text to text; they also stand in the call's proxy log.

        Changes take effect when the handler has ended well.
        """
        if self._metadata is None:
            self._metadata = self._call.metadata.copy()
        return self._metadata

    @property
    def touched_metadata(self) -> dict[str, str] | None:
        """What ``metadata`` holds now, or None when the handler never looked at it; for the gateway."""
        return self._metadata
