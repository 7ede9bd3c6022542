"""The types of fields that several resources share, each with its rule and its words for readers."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from weir_control.store.slugs import MAX_SLUG, SLUG_PATTERN
from weir_core.clock import parse_rfc3339, rfc3339
from weir_core.errors import UnknownVendorError
from weir_core.objects import BodyCapture
from weir_core.vendors import VENDORS, get_vendor

MAX_ID: Final = 2**32 - 1
_MAX_PATTERNS: Final = 100
_PRINTABLE_ASCII: Final = re.compile(r"[\x21-\x7e]+")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")


class InputModel(BaseModel):
    """A request body: no unknown fields, no conversion of one type into another."""

    model_config = ConfigDict(extra="forbid", strict=True)


def one_line(text: str) -> str:
    """Validator of a text that stands in a list, a log line or a header."""
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in text):
        raise ValueError("must not contain control characters or line breaks")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _endpoint(text: str) -> str:
    """What a base URL may be: no secrets in it, nothing that the call's own path would collide with."""
    if not _PRINTABLE_ASCII.fullmatch(text) or "\\" in text:
        raise ValueError("must be plain ASCII without spaces; write an international host name as xn--...")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("must start with http:// or https://")
    if not parts.hostname or not _HOST.fullmatch(parts.hostname) or port == 0:
        raise ValueError("needs a host and, where given, a port from 1 to 65535")
    if "@" in parts.netloc:
        raise ValueError("must not contain credentials; put the key into api_key")
    if "?" in text or "#" in text:
        raise ValueError("must not have a query or a fragment")
    if any(segment in (".", "..") for segment in parts.path.split("/")):
        raise ValueError("must not have '.' or '..' in its path")
    return text


def _header_value(text: str) -> str:
    if not _PRINTABLE_ASCII.fullmatch(text):
        raise ValueError("must be plain ASCII without spaces, as it is sent in a header")
    return text


def _pattern(text: str) -> str:
    # The proxy joins the patterns of a list into one alternation, so each must also stand inside a group.
    for form in (text, f"(?:{text})"):
        try:
            re.compile(form)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"is not a regular expression: {error}") from None
    return text


def _patterns_together(patterns: list[str]) -> list[str]:
    try:
        re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"cannot be used together: {error}") from None
    return patterns


def _moment(text: str) -> str:
    try:
        in_utc = rfc3339(parse_rfc3339(text))
        # The offset may have moved it out of the years that can be written.
        parse_rfc3339(in_utc)
    except (ValueError, OverflowError):
        raise ValueError("is not a time in RFC 3339; write it as 2026-01-31T12:00:00Z") from None
    return in_utc


def _known_vendor(name: str) -> str:
    try:
        return get_vendor(name).name
    except UnknownVendorError as error:
        raise PydanticCustomError("unknown_vendor", "{why}", {"why": str(error)}) from None


def all_different(items: list[Any]) -> list[Any]:
    """Validator of a list that is a set."""
    if len(set(items)) != len(items):
        raise ValueError("must not name anything twice")
    return items


Id = Annotated[int, Field(ge=1, le=MAX_ID)]
PathId = Annotated[int, Path(ge=1, le=MAX_ID, description="The object's id.", examples=[1])]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(one_line),
    AfterValidator(_not_blank),
    Field(json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"}),
]
Slug = Annotated[
    str,
    StringConstraints(max_length=MAX_SLUG, pattern=SLUG_PATTERN),
    Field(
        description="Stands in URLs: lower-case letters, digits and single `.`, `_` or `-` between them. "
        "Made from the name when it is left out; a PUT without it keeps it."
    ),
]
Description = Annotated[str, StringConstraints(max_length=4000)]
Namespace = Annotated[
    str,
    StringConstraints(max_length=128, pattern=r"^(?:[A-Za-z0-9][A-Za-z0-9._-]*)?$"),
    Field(description="Which edges see the object; empty means all."),
]
Namespaces = Annotated[list[Namespace], Field(max_length=100), AfterValidator(all_different)]
BodyCaptureField = Annotated[
    BodyCapture,
    Field(
        description="How much of requests and answers is kept: all (`full`), all but secrets, e-mail "
        "addresses and card numbers (`redacted`), or no bodies (`none`). Of an LLM's and an app's the "
        "stricter counts."
    ),
]
Metadata = Annotated[dict[str, Any], Field(description="Anything you like; the gateway gives it no meaning.")]
Endpoint = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2048),
    AfterValidator(_endpoint),
    Field(
        description="Base URL of the upstream, http or https; a base path such as `/v1` is kept.",
        json_schema_extra={"format": "uri", "pattern": r"^https?://[^\s@?#\\]+$"},
    ),
]
VendorName = Annotated[
    str,
    StringConstraints(max_length=64),
    AfterValidator(_known_vendor),
    Field(examples=["openai"], json_schema_extra={"enum": list(VENDORS)}),
]
HeaderSecret = Annotated[
    str,
    StringConstraints(min_length=1, max_length=8192),
    AfterValidator(_header_value),
    Field(json_schema_extra={"pattern": r"^[!-~]+$", "writeOnly": True}),
]
Pattern = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500),
    AfterValidator(_pattern),
    Field(json_schema_extra={"format": "regex"}),
]
Patterns = Annotated[list[Pattern], Field(max_length=_MAX_PATTERNS), AfterValidator(_patterns_together)]
Ids = Annotated[list[Id], Field(max_length=1000), AfterValidator(all_different)]
Moment = Annotated[
    str,
    Field(
        description="RFC 3339 with an offset.",
        examples=["2027-01-31T12:00:00Z"],
        json_schema_extra={"format": "date-time"},
    ),
    AfterValidator(_moment),
]
