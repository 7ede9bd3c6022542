"""A call's facts on the wire, and the changes that a handler made to its metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from weir_proto import plugin_pb2 as pb
from weir_sdk.checks import check_texts
from weir_sdk.context import CallInfo, Context

_MAX_ID = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The plugin at the other end, as its host writes to it.

    Attributes:
        ours: It reads our own fields: it answered ``Describe``. Others find what these would say in their
            context's metadata, as far as Go's protocol has room for it.
        edge_id: Which gateway this is.
        edge_namespace: The namespace that this gateway serves.
    """

    ours: bool
    edge_id: str = ""
    edge_namespace: str = ""


def context_to_wire(call: CallInfo, peer: Peer, **notes: str) -> pb.PluginContext:
    """A call's facts.

    Args:
        call: The call.
        peer: Who reads them.
        notes: What a plugin that is not ours finds in its metadata besides.
    """
    context = pb.PluginContext(
        request_id=call.request_id,
        vendor=call.vendor,
        llm_id=call.llm_id or 0,
        llm_slug=call.llm_slug,
        app_id=call.app_id or 0,
        user_id=user_number(call.user_id),
        metadata=call.metadata,
        trace_context=call.trace_context,
    )
    if peer.ours:
        if call.user_id is not None:
            context.user_id_text = call.user_id
        return context
    notes |= {"edge_id": peer.edge_id, "edge_namespace": peer.edge_namespace}
    if call.user_id and not context.user_id:
        notes["user_id"] = call.user_id
    context.metadata.update({name: text for name, text in notes.items() if text})
    return context


def context_from_wire(context: pb.PluginContext) -> CallInfo:
    """A call's facts, as a handler's ``Context`` shows them."""
    user_id: str | None = str(context.user_id) if context.user_id else None
    if context.HasField("user_id_text"):
        user_id = context.user_id_text
    return CallInfo(
        request_id=context.request_id,
        llm_id=context.llm_id or None,
        llm_slug=context.llm_slug,
        vendor=context.vendor,
        app_id=context.app_id or None,
        user_id=user_id,
        metadata=dict(context.metadata),
        trace_context=dict(context.trace_context),
    )


def user_number(user_id: str | None) -> int:
    """A user's id as Go's messages carry it: 0 for an id that is not a plain number of 32 bits."""
    if user_id is None or not user_id.isascii() or not user_id.isdecimal():
        return 0
    number = int(user_id) if len(user_id) <= 10 else 0
    return number if number <= _MAX_ID and str(number) == user_id else 0


@dataclass(frozen=True, slots=True)
class MetadataChange:
    """What a handler changed in its call's metadata."""

    set: Mapping[str, str] = field(default_factory=dict)
    removed: Sequence[str] = ()


def metadata_change(
    context: Context, call: CallInfo, updates: Mapping[str, str] | None = None
) -> MetadataChange:
    """What a handler noted in ``ctx.metadata``, and returned as ``context_updates``.

    Raises:
        RubbishError: It is not text to text.
    """
    before = call.metadata
    after = context.touched_metadata
    if after is None:
        return MetadataChange(updates or {})
    check_texts(after, "metadata")
    changed = {name: text for name, text in after.items() if before.get(name) != text}
    removed = [name for name in before if name not in after and name not in (updates or {})]
    return MetadataChange(changed | dict(updates or {}), removed)


class ChangesMetadata(Protocol):
    """Any of the hooks' answers on the wire."""

    @property
    def context_updates(self) -> Mapping[str, str]: ...
    @property
    def removed_metadata(self) -> Sequence[str]: ...


def keep_wire_metadata(answer: ChangesMetadata, call: CallInfo) -> None:
    """Write what a plugin changed in its metadata to the call; for the host, once it has taken the answer."""
    for name in answer.removed_metadata:
        call.metadata.pop(name, None)
    call.metadata.update(answer.context_updates)
