"""One entry of a vendor's table: what a call may do, what the gateway reads of it, how its usage is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from weir_core.usage import Answer
from weir_core.vendors.sse import SseEvent


class StreamMark(Enum):
    """What the proxy does with an event of a streamed answer."""

    NORMAL = "normal"
    """Pass it on at once."""
    TERMINAL = "terminal"
    """Pass it on when the call is recorded: it tells the client that the answer is over."""
    USAGE_ONLY = "usage_only"
    """Keep it from a client that did not ask for usage: it exists only because the gateway asked."""


class StreamReader(Protocol):
    """Reads one streamed answer, event by event. One it cannot read is ``NORMAL`` and changes nothing."""

    output_chars: int
    """Characters of text received so far, tool arguments and reasoning included; for estimates."""

    failed: bool
    """Whether the vendor reported an error in the middle of the stream."""

    def feed(self, event: SseEvent) -> StreamMark:
        """Take the next event."""
        ...

    def answer(self) -> Answer:
        """What the events so far amount to.

        The usage is None when the vendor gave none. Where it gave the prompt's but was cut off before the
        response's, the response is estimated from the text received and the source says so.
        """
        ...


class SilentReader:
    """Reads nothing; for operations whose answers are not metered or never streamed."""

    output_chars = 0
    failed = False

    def feed(self, event: SseEvent) -> StreamMark:
        """Pass everything on."""
        return StreamMark.NORMAL

    def answer(self) -> Answer:
        """Nothing was read."""
        return Answer()


def read_nothing(body: bytes) -> Answer:
    """The answer of an operation that consumes nothing."""
    return Answer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What the gateway knows about one method and path of a vendor's API.

    Attributes:
        name: The field's name for it, such as ``chat.completions``.
        method: The HTTP method.
        path: The path without its version segment; ``{id}`` stands for one segment.
        metered: Whether the vendor charges for it, so that it leaves a budget event.
        may_stream: Whether ``"stream": true`` in the body makes the answer a stream of events.
        model_in_body: Whether the body names the model, so that it can be checked, defaulted and replaced.
        output_limit_fields: Members of the body that bound the response's tokens.
        gateway_keys: Members of the body that the gateway or its guards go by; a duplicate of one is refused.
        wants_include_usage: Whether a stream reports usage only when ``stream_options.include_usage`` asks.
        read_answer: Reads a whole answer's body. Never raises: a body it cannot read is ``Answer()``.
        stream_reader: Makes the reader of one streamed answer.
    """

    name: str
    method: str
    path: str
    metered: bool = False
    may_stream: bool = False
    model_in_body: bool = False
    output_limit_fields: tuple[str, ...] = ()
    gateway_keys: frozenset[str] = frozenset()
    wants_include_usage: bool = False
    read_answer: Callable[[bytes], Answer] = read_nothing
    stream_reader: Callable[[], StreamReader] = SilentReader

    @property
    def reads_body(self) -> bool:
        """Whether the call has a JSON body that the gateway reads."""
        return bool(self.gateway_keys)
