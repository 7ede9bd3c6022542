"""What a handler may say, checked once it has said it: the same rules for every kind of plugin."""

from __future__ import annotations

import re
from typing import Any, Final

from weir_sdk.errors import RubbishError
from weir_sdk.headers import Headers

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # what HTTP/1.1 can carry: no line breaks, no NUL
_PATH: Final = re.compile(r"/[!-\"$->@-~]*")  # visible ASCII without ? and #
_QUERY: Final = re.compile(r"[!-\"$-~]*")

GATEWAYS_OWN: Final = ("Content-Length", "Connection", "Transfer-Encoding")
"""Headers that the gateway computes itself; what plugins say about them is dropped."""


def check_method(method: object) -> None:
    """A method is a token of RFC 9110."""
    if not isinstance(method, str) or _NAME.fullmatch(method) is None:
        raise RubbishError(f"set method to {method!r}")


def check_path(path: object) -> None:
    """A path is absolute, visible ASCII, and holds no query."""
    if not isinstance(path, str) or _PATH.fullmatch(path) is None:
        raise RubbishError(f"set path to {path!r}; a path starts with / and is percent-encoded")


def check_query(query: object) -> None:
    """A query string is visible ASCII."""
    if not isinstance(query, str) or _QUERY.fullmatch(query) is None:
        raise RubbishError(f"set query_string to {query!r}; a query string is percent-encoded")


def check_body(body: object) -> None:
    """A body is bytes."""
    if not isinstance(body, bytes):
        raise RubbishError(f"set body to {_kind(body)}; a body is bytes")


def check_status(status: object) -> None:
    """A final status of HTTP: 200 to 599."""
    if type(status) is not int or not 200 <= status <= 599:
        raise RubbishError(f"set status_code to {status!r}; a final status is 200 to 599")


def check_flag(flag: object, name: str) -> bool:
    """True or False, and nothing that only counts as it."""
    if not isinstance(flag, bool):
        raise RubbishError(f"set {name} to {flag!r}; it is True or False")
    return flag


def check_text(text: object, name: str) -> str:
    """A text."""
    if not isinstance(text, str):
        raise RubbishError(f"set {name} to {_kind(text)}; it is a str")
    return text


def check_texts(texts: object, name: str) -> dict[str, str]:
    """A dict of texts."""
    if not isinstance(texts, dict):
        raise RubbishError(f"set {name} to {_kind(texts)}; it is a dict of str to str")
    for key, value in texts.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise RubbishError(f"set {name}[{key!r}] to {_kind(value)}; it is a dict of str to str")
    return texts


def check_changed_headers(changed: Any, given: Headers) -> Headers:
    """Check the headers that differ from what was given, and undo changes to the gateway's own."""
    headers = changed if type(changed) is Headers else checked_headers(changed)
    # Both hold canonical names, so the plain dict's methods will do, at a third of the time.
    value_of = dict[str, str].get
    for name, value in headers.items():
        if value_of(given, name) is not value:
            _check_header(name, value)
    for name in GATEWAYS_OWN:
        own = value_of(given, name)
        if value_of(headers, name) is own:
            continue
        if own is None:
            del headers[name]
        else:
            headers[name] = own
    return headers


def checked_headers(headers: Any) -> Headers:
    """A plugin's own header dict in canonical form, without the gateway's own."""
    if not isinstance(headers, dict):
        raise RubbishError(f"set headers to {_kind(headers)}; it is a dict of str to str")
    for name, value in headers.items():
        _check_header(name, value)
    canonical = Headers(headers)
    for name in GATEWAYS_OWN:
        canonical.pop(name, None)
    return canonical


def _check_header(name: object, value: object) -> None:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise RubbishError(f"set a header named {name!r}")
    if not isinstance(value, str):
        raise RubbishError(f"set the header {name} to {_kind(value)}; it is a str")
    if _VALUE.fullmatch(value) is None:
        # The value may be a secret, so it is not shown.
        raise RubbishError(f"set the header {name} to a text with line breaks or beyond Latin-1")


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
