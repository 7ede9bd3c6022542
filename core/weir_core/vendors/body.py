"""The few members of a request's body that the gateway goes by, and the few changes it makes to one.

Everything else passes byte for byte, so a body is never re-encoded as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, Final

import msgspec

from weir_core.errors import InvalidInputError
from weir_core.vendors.reading import Count

_LIMIT_KEYS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_CHOICE_KEYS: Final = ("n", "best_of")

_MAX_MEMBERS: Final = 1024
# In fewer bytes there is no room for so many members that counting them while they are read would matter.
_SMALL_BODY_BYTES: Final = 16 * 1024

_BEFORE_VALUE: Final = re.compile(rb'[\s,]*"[^"\\]*(?:\\.[^"\\]*)*"\s*:\s*', re.DOTALL)


class RequestFields(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's body says about the call; None or the default where it says nothing.

    ``output_limit`` is the largest of the limits given, in tokens; ``choices`` is how many answers are to be
    generated; ``include_usage`` is what the caller wrote in ``stream_options``.
    """

    model: str | None = None
    stream: bool = False
    output_limit: int | None = None
    choices: int = 1
    include_usage: bool | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Key:
    """A member's name that equals no other, so that a decoded object keeps its duplicates."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


_Members = dict[_Key, msgspec.Raw]

_MEMBERS: Final = msgspec.json.Decoder(_Members, dec_hook=lambda _, name: _Key(name))
_FLAG: Final = (msgspec.json.Decoder(bool | None), "true or false")
_NUMBER: Final = (msgspec.json.Decoder(Count | None), "a whole number")
_READERS: Final[Mapping[str, tuple[msgspec.json.Decoder[Any], str]]] = {
    "model": (msgspec.json.Decoder(str | None), "a string"),
    "stream": _FLAG,
    "background": _FLAG,
    "stream_options": (
        msgspec.json.Decoder(_StreamOptions | None),
        "an object whose include_usage is true or false",
    ),
    **dict.fromkeys(_LIMIT_KEYS + _CHOICE_KEYS, _NUMBER),
}


def read_request(body: bytes, gateway_keys: frozenset[str]) -> RequestFields:
    """Read what the gateway goes by, in one pass over the body.

    Args:
        body: The request's JSON.
        gateway_keys: The members to go by (``Operation.gateway_keys``); others are not looked at.

    Raises:
        InvalidInputError: The body is not a JSON object in UTF-8, a member that the gateway goes by is given
            twice (in whatever spelling) or has the wrong type; ``field`` names the member.
    """
    found: dict[str, msgspec.Raw] = {}
    for key, value in _members(body).items():
        name = key.name
        if name in gateway_keys:
            if name in found:
                raise InvalidInputError(f"the request body gives {name!r} twice; give it once", field=name)
            found[name] = value
        elif name.casefold() in gateway_keys:
            # Some servers match names whatever their case, so this one would reach them as a duplicate.
            raise InvalidInputError(f"write {name!r} as {name.casefold()!r} in the request body", field=name)
    given = {name: _read(name, value) for name, value in found.items() if name in _READERS}
    if given.get("background"):
        raise InvalidInputError(
            "a response in the background goes on where its usage cannot be read; leave 'background' out",
            field="background",
        )
    options: _StreamOptions | None = given.get("stream_options")
    return RequestFields(
        model=given.get("model"),
        stream=given.get("stream") or False,
        output_limit=_largest(given, _LIMIT_KEYS),
        choices=_largest(given, _CHOICE_KEYS) or 1,
        include_usage=options.include_usage if options is not None else None,
    )


def with_model(body: bytes, model: str) -> bytes:
    """Name another model in a request's body, or the first one; no other byte changes.

    Raises:
        InvalidInputError: The body is not a JSON object.
    """
    return _with_member(body, "model", lambda _: msgspec.json.encode(model))


def with_include_usage(body: bytes) -> bytes:
    """Set ``stream_options.include_usage`` in a request's body; no other byte changes.

    Raises:
        InvalidInputError: The body is not a JSON object, or its ``stream_options`` is none.
    """
    return _with_member(body, "stream_options", _set_include_usage)


def _set_include_usage(options: bytes) -> bytes:
    if options in (b"", b"null"):
        return b'{"include_usage":true}'
    try:
        return _with_member(options, "include_usage", lambda _: b"true")
    except InvalidInputError as error:
        raise InvalidInputError("'stream_options' must be an object", field="stream_options") from error


def _with_member(body: bytes, name: str, rewrite: Callable[[bytes], bytes]) -> bytes:
    """Rewrite the value of each member of this name; an absent one comes first, made from nothing."""
    members = _members(body)
    pieces: list[bytes] = []
    kept = 0
    for key, start, end in _spans(body, members):
        if key == name:
            pieces += body[kept:start], rewrite(body[start:end])
            kept = end
    if not pieces:
        kept = body.index(b"{") + 1
        comma = b"," if members else b""
        pieces += body[:kept], msgspec.json.encode(name), b":", rewrite(b""), comma
    return b"".join((*pieces, body[kept:]))


def _spans(body: bytes, members: _Members) -> Iterator[tuple[str, int, int]]:
    """Where each member's value stands in the body that the members were read from."""
    position = body.index(b"{") + 1
    for key, value in members.items():
        before = _BEFORE_VALUE.match(body, position)
        assert before is not None, "the decoder found a member where there is none"
        position = before.end() + memoryview(value).nbytes
        yield key.name, before.end(), position


def _members(body: bytes) -> _Members:
    decoder = _MEMBERS if len(body) < _SMALL_BODY_BYTES else _counting_decoder()
    try:
        members = decoder.decode(body)
        # The decoder leaves strings that it does not return unchecked.
        if not body.isascii():
            body.decode()
    except msgspec.ValidationError as error:
        raise InvalidInputError("the request body must be a JSON object") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the request body is not valid JSON: {error}") from error
    except RecursionError as error:
        raise InvalidInputError("the request body is nested too deeply") from error
    if len(members) > _MAX_MEMBERS:
        raise _too_many_members()
    return members


def _counting_decoder() -> msgspec.json.Decoder[_Members]:
    """A decoder that gives up at one member too many, before millions of them fill the memory."""
    numbers = count(1)

    def as_key(_: type, name: Any) -> _Key:
        if next(numbers) > _MAX_MEMBERS:
            raise _too_many_members()
        return _Key(name)

    return msgspec.json.Decoder(_Members, dec_hook=as_key)


def _too_many_members() -> InvalidInputError:
    return InvalidInputError(f"the request body has more than {_MAX_MEMBERS} members; send fewer")


def _read(name: str, value: msgspec.Raw) -> Any:
    decoder, expected = _READERS[name]
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInputError(f"{name!r} must be {expected}", field=name) from error


def _largest(given: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    largest: int | None = None
    for name in names:
        number: int | None = given.get(name)
        if number is not None and (largest is None or number > largest):
            largest = number
    return largest
