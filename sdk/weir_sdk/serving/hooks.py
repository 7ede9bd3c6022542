"""The hooks of requests, answers and streams, as PluginService calls them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from weir_proto import plugin_pb2 as pb
from weir_sdk.context import CallInfo
from weir_sdk.errors import RubbishError
from weir_sdk.outcomes import auth_outcome, request_outcome, response_outcome, stream_outcome
from weir_sdk.request import Request
from weir_sdk.serving.handlers import failed
from weir_sdk.serving.methods import Unary
from weir_sdk.serving.plugin import ServedPlugin
from weir_sdk.wire.context import metadata_change
from weir_sdk.wire.requests import (
    auth_from_wire,
    auth_outcome_to_wire,
    enriched_from_wire,
    request_from_wire,
    request_outcome_to_wire,
)
from weir_sdk.wire.responses import (
    headers_from_wire,
    headers_outcome_to_wire,
    stream_from_wire,
    write_from_wire,
    write_outcome_to_wire,
)


class Hooks:
    """Each hook runs its handler on a copy, judges what came of it, and answers with the changes.

    A hook without a handler answers that it has done nothing.
    """

    def __init__(self, served: ServedPlugin) -> None:
        self._served = served

    @property
    def methods(self) -> Mapping[str, Unary]:
        """By their names in PluginService."""
        return {
            "ProcessPreAuth": self.pre_auth,
            "Authenticate": self.auth,
            "ProcessPostAuth": self.post_auth,
            "OnBeforeWriteHeaders": self.response_headers,
            "OnBeforeWrite": self.response_body,
            "OnStreamComplete": self.stream_complete,
        }

    async def pre_auth(self, wire: pb.PluginRequest) -> pb.PluginResponse:
        """Run ``handle_pre_auth``."""
        return await self._request_hook("handle_pre_auth", *request_from_wire(wire))

    async def post_auth(self, wire: pb.EnrichedRequest) -> pb.PluginResponse:
        """Run ``handle_post_auth``."""
        return await self._request_hook("handle_post_auth", *enriched_from_wire(wire))

    async def auth(self, wire: pb.AuthRequest) -> pb.AuthResponse:
        """Run ``handle_auth``."""
        handler = self._served.handlers.get("handle_auth")
        if handler is None:
            return pb.AuthResponse(error_message="This plugin does not authenticate callers.")
        call, given = auth_from_wire(wire)
        context = self._served.context(call)
        with _failures():
            outcome = auth_outcome(await handler(context, given))
            change = metadata_change(context, call, outcome.context_updates)
            with _in_utf8():
                return auth_outcome_to_wire(outcome, change)

    async def response_headers(self, wire: pb.HeadersRequest) -> pb.HeadersResponse:
        """Run ``on_before_write_headers``."""
        handler = self._served.handlers.get("on_before_write_headers")
        if handler is None:
            return pb.HeadersResponse()
        call, given = headers_from_wire(wire)
        context, shown = self._served.context(call), given.copy()
        with _failures():
            changed = response_outcome(await handler(context, shown), shown, given, with_body=False)
            change = metadata_change(context, call)
            with _in_utf8():
                return headers_outcome_to_wire(changed, given, change)

    async def response_body(self, wire: pb.ResponseWriteRequest) -> pb.ResponseWriteResponse:
        """Run ``on_before_write``."""
        handler = self._served.handlers.get("on_before_write")
        if handler is None:
            return pb.ResponseWriteResponse()
        call, given = write_from_wire(wire)
        context, shown = self._served.context(call), given.copy()
        with _failures():
            changed = response_outcome(await handler(context, shown), shown, given, with_body=True)
            change = metadata_change(context, call)
            with _in_utf8():
                return write_outcome_to_wire(changed, given, change)

    async def stream_complete(self, wire: pb.StreamCompleteRequest) -> pb.StreamCompleteResponse:
        """Run ``on_stream_complete``."""
        handler = self._served.handlers.get("on_stream_complete")
        if handler is None:
            return pb.StreamCompleteResponse()
        call, stream = stream_from_wire(wire)
        with _failures():
            stream_outcome(await handler(self._served.context(call), stream))
        return pb.StreamCompleteResponse(handled=True)

    async def _request_hook(self, name: str, call: CallInfo, given: Request) -> pb.PluginResponse:
        handler = self._served.handlers.get(name)
        if handler is None:
            return pb.PluginResponse()
        context, shown = self._served.context(call), given.copy()
        with _failures():
            outcome = request_outcome(await handler(context, shown), shown, given)
            change = metadata_change(context, call, outcome.context_updates)
            with _in_utf8():
                return request_outcome_to_wire(outcome, given, change)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise failed(error) from error


@contextmanager
def _in_utf8() -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as error:
        raise RubbishError(f"gave back a text that is not UTF-8: {error.object!a}") from error
