"""What goes into a plugin call and what comes out of it, on the gateway's side."""

from __future__ import annotations

import msgspec

from weir_sdk import Credential, PluginResponse, Request
from weir_sdk.context import CallInfo

__all__ = ["CallInfo", "RequestOutcome"]


class RequestOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a request hook decided, checked and in one form. ``block`` comes before everything else.

    Attributes:
        request: The changed request; None means unchanged.
        block: A refusal or an answer: ``status_code`` is set (403 unless the plugin named one), header names
            are canonical, and Content-Length, Connection and Transfer-Encoding are gone.
        credential: Who calls (auth hooks only).
        context_updates: What the hook changed in the call's metadata; already written there.
    """

    request: Request | None = None
    block: PluginResponse | None = None
    credential: Credential | None = None
    context_updates: dict[str, str] | None = None
