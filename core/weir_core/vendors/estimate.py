"""Token counts where the vendor gave none: a stream that was cut, an answer without usage.

Both kinds are marked ``estimated`` in events. Four bytes or characters a token is what English text comes to
with current tokenizers; source code and other languages come to fewer.
"""

from __future__ import annotations

from typing import Final

_PER_TOKEN: Final = 4


def estimate_prompt_tokens(body_bytes: int) -> int:
    """The likely tokens of a request body of this size."""
    return -(-body_bytes // _PER_TOKEN)


def estimate_response_tokens(chars: int) -> int:
    """The likely tokens of this many characters of generated text."""
    return -(-chars // _PER_TOKEN)


def worst_case_prompt_tokens(body_bytes: int) -> int:
    """A bound for the tokens of a request body of this size: no token is shorter than a byte.

    It does not bound what the body only refers to, such as an image by its address or an earlier response.
    """
    return body_bytes
