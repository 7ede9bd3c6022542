"""The vendors' APIs as tables: which calls there are, what is read of them, how errors look."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from weir_core.errors import UnknownVendorError
from weir_core.vendors.anthropic import ANTHROPIC_OPERATIONS, AnthropicVendor
from weir_core.vendors.openai import OPENAI_OPERATIONS, OpenAiVendor
from weir_core.vendors.operation import Operation, StreamMark, StreamReader
from weir_core.vendors.vendor import CREDENTIAL_HEADERS, Vendor

__all__ = [
    "CREDENTIAL_HEADERS",
    "VENDORS",
    "Operation",
    "StreamMark",
    "StreamReader",
    "Vendor",
    "get_vendor",
]

VENDORS: Final[Mapping[str, Vendor]] = MappingProxyType(
    {
        vendor.name: vendor
        for vendor in (
            OpenAiVendor("openai", OPENAI_OPERATIONS, version="v1"),
            OpenAiVendor("openai_compatible", OPENAI_OPERATIONS),
            AnthropicVendor("anthropic", ANTHROPIC_OPERATIONS, version="v1"),
        )
    }
)


def get_vendor(name: str) -> Vendor:
    """The vendor of this name.

    Raises:
        UnknownVendorError: There is none; the message lists the names there are.
    """
    try:
        return VENDORS[name]
    except KeyError:
        raise UnknownVendorError(name, VENDORS) from None
