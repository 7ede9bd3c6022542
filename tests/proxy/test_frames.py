"""A plugin's answer to an event becomes events again, whatever is in it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_core.vendors.sse import SseEvent, SseSplitter
from weir_proxy.frames import cut_events, only_shown, reframed


def event(raw: bytes) -> SseEvent:
    [made] = SseSplitter().feed(raw)
    return made


PLAIN = event(b'data: {"a": 1}\n\n')


def raws(events: list[SseEvent]) -> bytes:
    return b"".join(made.raw for made in events)


@pytest.mark.parametrize(
    ("answer", "framed"),
    [
        (b"", b""),
        (b'{"b": 2}', b'data: {"b": 2}\n\n'),
        (b"[DONE]", b"data: [DONE]\n\n"),
        (b'{"b":\r2}', b'data: {"b":\ndata: 2}\n\n'),
        (b'{"b":\r\n2,\n"c": 3}', b'data: {"b":\ndata: 2,\ndata: "c": 3}\n\n'),
        (b"data: 1\n\ndata: 2\n\n", b"data: 1\n\ndata: 2\n\n"),
        (b"data: 1\r\n\r\nevent: x\r\ndata: 2", b"data: 1\r\n\r\nevent: x\r\ndata: 2\n\n"),
        (b"event: x\ndata: 1\n", b"event: x\ndata: 1\n\n"),
    ],
)
def test_an_answer_is_one_payload_or_events_by_how_it_begins(answer: bytes, framed: bytes) -> None:
    assert raws(reframed(PLAIN, answer)) == framed


@pytest.mark.parametrize(
    ("raw", "framed"),
    [
        (b"event: ping\ndata: {}\n\n", b"event: ping\ndata: x\n\n"),
        (
            b"id: 7\r\nevent: ping\r\ndata: {}\r\nretry: 3\r\n\r\n",
            b"id: 7\nevent: ping\nretry: 3\ndata: x\n\n",
        ),
        (b": note\ndata: 1\ndata: 2\n\n", b": note\ndata: x\n\n"),
        (b"data: 1\nevent: late\n\n", b"event: late\ndata: x\n\n"),
    ],
)
def test_a_new_payload_leaves_the_events_other_fields_alone(raw: bytes, framed: bytes) -> None:
    assert raws(reframed(event(raw), b"x")) == framed


@pytest.mark.parametrize(
    "raw",
    [
        b'data: {"a": 1}\n\n',
        b"data:[DONE]\n\n",
        b"data:\n\n",
        b"data: {}\r\n\r\n",
        b"event: message_stop\ndata: {}\n\n",
        b"event:response.output_text.delta\r\ndata: {}\r\n\r\n",
    ],
)
def test_an_event_in_the_form_of_the_vendors_has_nothing_that_its_data_does_not_show(raw: bytes) -> None:
    given = event(raw)
    assert only_shown(given) is given


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        (b": text\n\n", b":\n\n"),
        (b"event: text\n\n", b":\n\n"),
        (b"id: text\nretry: 5\n\n", b":\n\n"),
        (b": text\ndata: 1\n\n", b"data: 1\n\n"),
        (b"data: 1\n: text\n\n", b"data: 1\n\n"),
        (b"data: 1\nx\n\n", b"data: 1\n\n"),
        (b"data:1\rx\r\n\r\n", b"data: 1\n\n"),
        (b"id: text\nevent: ping\ndata: 1\nretry: 5\n\n", b"event: ping\ndata: 1\n\n"),
        (b"event: text\nevent: ping\ndata: 1\n\n", b"event: ping\ndata: 1\n\n"),
        (b"event: some words\ndata: 1\n\n", b"data: 1\n\n"),
        (b"event: %b\ndata: 1\n\n" % (b"x" * 65), b"data: 1\n\n"),
        (b"event: \xc3\xa4\ndata: 1\n\n", b"data: 1\n\n"),
        (b"database: text\ndata: 1\ndata: 2\n\n", b"data: 1\ndata: 2\n\n"),
        (b"\n\nevent: ping\r\ndata: 1\r\rid: text\n", b"event: ping\ndata: 1\n\n"),
    ],
)
def test_of_any_other_event_only_its_data_and_a_short_name_are_left(raw: bytes, left: bytes) -> None:
    given = SseSplitter().feed(raw + b"\n")[0]
    assert only_shown(given).raw == left


@given(
    st.lists(
        st.sampled_from([b"data: 1", b"data:", b"data", b"event: e", b"event: a b", b": c", b"id: 7", b"x"]),
        min_size=1,
    ),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_what_is_left_of_an_event_says_what_was_shown_and_nothing_else(
    lines: list[bytes], line_end: bytes
) -> None:
    given = SseSplitter().feed(line_end.join(lines) + line_end * 2 + b"\n")[0]
    left = only_shown(given)
    [read] = cut_events(left.raw)
    assert (read.data, left.data) == (given.data, given.data)
    assert not re.search(rb"(?m)^(?!data|event:|\r?$)[^\r\n]{2}", left.raw)
    assert left.name in (None, "e")


@given(st.binary(min_size=1))
def test_any_payload_stays_inside_one_event(body: bytes) -> None:
    if body.startswith((b"data:", b"event:")):
        return
    [made] = reframed(PLAIN, body)
    [seen] = cut_events(made.raw)
    assert seen.data == body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


@given(st.lists(st.sampled_from([b"data: 1", b"\n", b"\r", b"\r\n", b"event: x", b"\n\n", b": c", b"x"])))
def test_a_framed_text_ends_as_a_whole_event_whatever_is_in_it(pieces: list[bytes]) -> None:
    text = b"data: 0" + b"".join(pieces)
    splitter = SseSplitter()
    splitter.feed(raws(reframed(PLAIN, text)))
    assert splitter.rest().strip(b"\r\n") == b""
    assert raws(reframed(PLAIN, text)).translate(None, b"\r\n") == text.translate(None, b"\r\n")
