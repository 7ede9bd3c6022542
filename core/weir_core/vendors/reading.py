"""What the readers of all vendors' answers share."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""A counter as a vendor may report it. Any other number makes the answer unreadable, not its bill absurd."""

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding an upstream's bytes can raise."""
