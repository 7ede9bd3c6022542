"""A plugin's answer to an event becomes events again, whatever is in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir_core.vendors.sse import SseEvent, SseSplitter
from weir_proxy.frames import cut_events, reframed


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
