"""Money: exact decimals while it is summed, integer nano-units once it is written down.

A nano-unit is a billionth of the installation's ledger currency. An event's cost is rounded once, half to
even, when its exact sum becomes nano-units; from there on only integers are added.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final

from weir_core.errors import InvalidInputError

NANO: Final = 10**9

# For every decimal operation here: the context of the moment may be that of a plugin, at its precision.
EXACT: Final = Context(prec=100, rounding=ROUND_HALF_EVEN)
_ONE_NANO: Final = Decimal("1e-9")
_AMOUNT: Final = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")


def to_nano(amount: Decimal) -> int:
    """Round an exact amount to nano-units, half to even.

    Raises:
        ValueError: The amount is not a finite number below 1e90.
    """
    try:
        rounded = amount.quantize(_ONE_NANO, context=EXACT)
        return int(rounded.scaleb(9, context=EXACT))
    except (InvalidOperation, ValueError) as error:
        raise ValueError(f"{amount} is not an amount of money") from error


def nano_to_text(nano: int) -> str:
    """Write nano-units as a plain decimal: no exponent, no trailing zeros, ``0`` for nothing."""
    whole, fraction = divmod(abs(nano), NANO)
    sign = "-" if nano < 0 else ""
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:09d}".rstrip("0")


def parse_amount(text: str) -> Decimal:
    """Read a price or a limit as an admin writes it, such as ``"0.0375"``.

    Raises:
        InvalidInputError: The text is not a plain, non-negative decimal of at most 18 digits on either side.
    """
    if _AMOUNT.fullmatch(text) is None:
        raise InvalidInputError(
            f'{text!r} is not an amount; write a plain decimal string of zero or more, such as "2.50"'
        )
    return Decimal(text)
