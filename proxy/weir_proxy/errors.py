"""How a call can end early, and what can go wrong with an upstream."""

from __future__ import annotations

from weir_core.errors import WeirError
from weir_streams.events import Outcome


class ProxyError(WeirError):
    """Root of the data plane's errors."""


class RefusalError(ProxyError):
    """The gateway itself answers, in the vendor's error shape.

    Args:
        status: HTTP status for the client.
        code: Machine-readable code (docs/errors.md lists them all).
        message: What happened and what the caller can do.
        outcome: How the proxy log names it.
        headers: Extra answer headers.
        field: The member of the request that is at fault, where there is one.
        blocked_by: Name of the plugin whose decision or failure this is.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        outcome: Outcome = "denied",
        headers: tuple[tuple[str, str], ...] = (),
        field: str = "",
        blocked_by: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.outcome = outcome
        self.headers = headers
        self.field = field
        self.blocked_by = blocked_by


class PluginAnswerError(ProxyError):
    """A plugin ended the chain with an answer of its own; 2xx is served, anything else is blocked."""

    def __init__(self, plugin: str, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(f"plugin {plugin} answered {status}")
        self.plugin = plugin
        self.status = status
        self.headers = headers
        self.body = body


class ClientGoneError(ProxyError):
    """The client hung up before the call could be finished."""


class ClientBrokenError(ProxyError):
    """The client's request body is not framed as HTTP/1.1 says."""


class ClientTooSlowError(ProxyError):
    """The client sent its request's body too slowly."""


class UpstreamError(ProxyError):
    """The upstream gave no usable answer.

    ``reached`` says whether the request may have arrived there, and so may have to be paid for.
    """

    status = 502
    code = "upstream_unreachable"
    reached = True


class UpstreamUnreachableError(UpstreamError):
    """No connection could be made; nothing was sent."""

    retryable = True
    reached = False


class UpstreamTimeoutError(UpstreamError):
    """The upstream was silent or took longer than the LLM's timeout."""

    retryable = True
    status = 504
    code = "upstream_timeout"


class UpstreamBrokenError(UpstreamError):
    """The connection broke before the answer was whole, or the answer was no HTTP."""

    retryable = True
    code = "upstream_broken"


class UpstreamTooLargeError(UpstreamBrokenError):
    """An answer that is not streamed is larger than one may be."""

    retryable = False
    code = "upstream_answer_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The upstream's answer is larger than {limit} bytes.")
