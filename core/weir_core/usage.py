"""What a call consumed, in the terms the whole of Weir uses."""

from __future__ import annotations

from typing import Literal

import msgspec

UsageSource = Literal["provider", "estimated", "none"]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts of one upstream answer, and what else its price depends on.

    ``prompt_tokens`` includes cache reads and writes; ``response_tokens`` includes reasoning. Vendors that
    count otherwise are converted where their answer is read (see ``weir_core.vendors``).

    The counters after ``source`` are parts or companions of the others that some vendors charge at a price
    of their own: ``cache_write_1h_tokens`` is the part of the cache writes that is kept for an hour, the
    audio tokens are parts of prompt and response, and the searches are charged by the call.
    ``service_tier`` is the class of service the vendor says it gave (``flex``, ``priority``, ``fast``).
    """

    prompt_tokens: int = 0
    response_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    source: UsageSource = "provider"
    cache_write_1h_tokens: int = 0
    audio_prompt_tokens: int = 0
    audio_response_tokens: int = 0
    web_searches: int = 0
    file_searches: int = 0
    service_tier: str | None = None

    @property
    def total_tokens(self) -> int:
        """Prompt plus response."""
        return self.prompt_tokens + self.response_tokens


NO_USAGE = Usage(source="none")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway reads from an upstream's answer, before any plugin may change it.

    ``usage`` is None when the answer carried none. ``model`` is what the vendor says it ran.
    ``finish_reasons`` has one entry for each choice that said why it ended, in the vendor's own words.
    """

    usage: Usage | None = None
    model: str | None = None
    choices: int = 0
    tool_calls: int = 0
    finish_reasons: tuple[str, ...] = ()
