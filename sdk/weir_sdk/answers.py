"""What handlers return."""

from __future__ import annotations

import msgspec

from weir_sdk.request import Request


class Credential(msgspec.Struct, kw_only=True):
    """Who calls, in the words of an auth plugin.

    ``app_id`` None means the ``default_app_id`` of the plugin's attachment. The app must exist, be active and
    have the LLM; the gateway checks that.
    """

    user_id: str = ""
    username: str = ""
    claims: dict[str, str] = {}
    app_id: int | None = None


class PluginResponse(msgspec.Struct, kw_only=True):
    """The answer of a request hook; returning None instead means "my changes to the request".

    ``block`` ends the call: the client gets ``status_code`` (403 unless given), ``headers`` and ``body``, or
    the gateway's own error with ``error_message`` where the body is empty. A block with status 200 and a body
    is an answer, for example from a cache.

    Otherwise ``modified`` decides. True: the request is ``request`` if given (else the one you were handed,
    with what you changed in it), ``headers`` overwrite by name, a non-empty ``body`` replaces the body.
    False: the request stays as it was.

    ``context_updates`` join ``ctx.metadata`` for later hooks. ``credential`` is an auth plugin's yes.
    """

    modified: bool = False
    request: Request | None = None
    block: bool = False
    status_code: int = 0
    headers: dict[str, str] | None = None
    body: bytes = b""
    error_message: str = ""
    context_updates: dict[str, str] | None = None
    credential: Credential | None = None


class DataCollectionResponse(msgspec.Struct, kw_only=True):
    """What became of an event; returning None instead means collected, not handled.

    ``handled`` means that the database need not keep a record of its own. ``success`` false is a failure: the
    event comes again if ``retryable``, and is kept in the database in the end.
    """

    success: bool = True
    handled: bool = False
    error_message: str = ""
    retryable: bool = True
