"""What a call consumed, in the terms the whole of Weir uses."""

from __future__ import annotations

from typing import Literal

import msgspec

UsageSource = Literal["provider", "estimated", "none"]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts of one upstream answer.

    ``prompt_tokens`` includes cache reads and writes; ``response_tokens`` includes reasoning. Vendors that
    count otherwise are converted where their answer is read (see ``weir_core.vendors``).
    """

    prompt_tokens: int = 0
    response_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    source: UsageSource = "provider"

    @property
    def total_tokens(self) -> int:
        """Prompt plus response."""
        return self.prompt_tokens + self.response_tokens


NO_USAGE = Usage(source="none")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway reads from an upstream's answer, before any plugin may change it.

    ``usage`` is None when the answer carried none. ``model`` is what the vendor says it ran.
    """

    usage: Usage | None = None
    model: str | None = None
    choices: int = 0
    tool_calls: int = 0
    finish_reasons: tuple[str, ...] = ()
