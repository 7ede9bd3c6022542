"""Compressed answers are read whole or not at all."""

from __future__ import annotations

import gzip
import zlib

import pytest

from weir_proxy.upstream import decoded

PLAIN = b'{"usage": {"prompt_tokens": 1}}'


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (PLAIN, ""),
        (PLAIN, "identity"),
        (gzip.compress(PLAIN), "gzip"),
        (zlib.compress(PLAIN), "deflate"),
        (gzip.compress(PLAIN[:9]) + gzip.compress(PLAIN[9:]), "gzip"),
    ],
    ids=["as it is", "identity", "gzip", "deflate", "two members"],
)
def test_a_body_is_decoded_with_all_its_members(body: bytes, encoding: str) -> None:
    assert decoded(body, encoding) == PLAIN


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (PLAIN, "br"),
        (PLAIN, "zstd"),
        (gzip.compress(PLAIN), "gzip, gzip"),
        (gzip.compress(PLAIN)[:-9], "gzip"),
        (gzip.compress(PLAIN) + b"rest", "gzip"),
        (b"no gzip", "gzip"),
        (gzip.compress(bytes(65 * 1024 * 1024)), "gzip"),
    ],
    ids=["br", "zstd", "gzip twice", "cut", "more behind it", "not compressed", "too large"],
)
def test_what_cannot_be_decoded_whole_is_not_decoded(body: bytes, encoding: str) -> None:
    assert decoded(body, encoding) is None
