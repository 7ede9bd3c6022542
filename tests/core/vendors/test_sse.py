import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from weir_core.errors import SseEventTooLargeError
from weir_core.vendors.sse import SseEvent, SseSplitter

LINES = st.sampled_from(
    [
        b"",
        b"",
        b"data: a",
        b"data:b",
        b"data",
        b"data:  two spaces",
        b'data: {"text": "caf\xc3\xa9: 1"}',
        b"event: message_stop",
        b"event:",
        b"event: \xff",
        b": comment",
        b"id: 7",
        b"retry: 10",
        b"unknown: x",
        b"\xef\xbb\xbfdata: a",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
MIXED_STREAMS = st.lists(st.tuples(LINES, ENDS).map(b"".join), max_size=30).map(b"".join)
UNIFORM_STREAMS = st.tuples(st.lists(LINES, max_size=30), ENDS).map(lambda drawn: drawn[1].join(drawn[0]))
STREAMS = st.one_of(UNIFORM_STREAMS, MIXED_STREAMS, st.binary(max_size=60))


def split_whole(stream: bytes) -> tuple[list[SseEvent], bytes]:
    splitter = SseSplitter()
    return splitter.feed(stream), splitter.rest()


def split_at(stream: bytes, cuts: list[int]) -> tuple[list[SseEvent], bytes]:
    splitter = SseSplitter()
    events: list[SseEvent] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        events += splitter.feed(stream[start:end])
    return events, splitter.rest()


def by_the_standard(stream: bytes) -> list[tuple[str | None, bytes]]:
    """Names and data of the events that have data, read line by line as the standard says."""
    found: list[tuple[str | None, bytes]] = []
    name, data = b"", list[bytes]()
    *lines, _unfinished = re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))
    for line in lines:
        if not line:
            if data:
                found.append((name.decode("utf-8", "replace") or None, b"\n".join(data)))
            name, data = b"", []
            continue
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return found


@given(STREAMS)
@example(b"data: a\r\n\r\ndata: b\r\n\r\n")
@example(b"data: a\n\r\n")
@example(b"data: a\r\r\ndata: b\r\r")
@example(b"\n\n\ndata: a\n\n\n\n")
def test_the_events_are_the_same_wherever_the_stream_is_cut_once(stream: bytes) -> None:
    whole = split_whole(stream)

    for cut in range(len(stream) + 1):
        assert split_at(stream, [cut]) == whole


@given(STREAMS, st.data())
def test_the_events_are_the_same_however_often_the_stream_is_cut(stream: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))

    assert split_at(stream, cuts) == split_whole(stream)
    assert split_at(stream, list(range(len(stream)))) == split_whole(stream)


@given(STREAMS)
def test_raw_bytes_and_the_rest_are_the_bytes_fed(stream: bytes) -> None:
    events, rest = split_whole(stream)

    assert b"".join(event.raw for event in events) + rest == stream


@given(STREAMS)
def test_events_say_what_the_standard_says(stream: bytes) -> None:
    # An end of stream proves that a carriage return was not half of a line end.
    events = SseSplitter().feed(stream + b": end\n\n")

    assert [(event.name, event.data) for event in events if event.data] == [
        (name, data) for name, data in by_the_standard(stream + b": end\n\n") if data
    ]


@pytest.mark.parametrize(
    ("raw", "name", "data"),
    [
        (b"data: {}\n\n", None, b"{}"),
        (b"data:{}\n\n", None, b"{}"),
        (b"event: ping\ndata: {}\n\n", "ping", b"{}"),
        (b"event: ping\r\ndata: {}\r\n\r\n", "ping", b"{}"),
        (b"event: ping\rdata: {}\r\r", "ping", b"{}"),
        (b"data: {}\r\n\n", None, b"{}"),
        (b"data: a\ndata: b\n\n", None, b"a\nb"),
        (b"data: {}\nevent: ping\n\n", "ping", b"{}"),
        (b"id: 1\nevent: ping\ndata: {}\nretry: 5\n\n", "ping", b"{}"),
        (b"event: ping\n\n", "ping", b""),
        (b": OPENROUTER PROCESSING\n\n", None, b""),
        (b"\n\ndata: {}\n\n", None, b"{}"),
        (b"\xef\xbb\xbfdata: {}\n\n", None, b"{}"),
    ],
)
def test_an_event_is_read_in_every_way_of_writing_it(raw: bytes, name: str | None, data: bytes) -> None:
    assert split_whole(raw) == ([SseEvent(raw, name, data)], b"")


def test_only_the_first_event_may_begin_with_a_byte_order_mark() -> None:
    events, _ = split_whole(b"data: a\n\n\xef\xbb\xbfdata: b\n\n")

    assert [event.data for event in events] == [b"a", b""]


def test_an_event_is_returned_by_the_chunk_that_completes_it() -> None:
    splitter = SseSplitter()

    assert splitter.feed(b"data: a\r\n\r") == []
    assert splitter.feed(b"\n") == [SseEvent(b"data: a\r\n\r\n", None, b"a")]
    assert splitter.feed(b"data: b\r\r") == [SseEvent(b"data: b\r\r", None, b"b")]
    assert splitter.feed(b"data: c\n\ndata:") == [SseEvent(b"data: c\n\n", None, b"c")]
    assert splitter.rest() == b"data:"


@pytest.mark.parametrize("chunk_bytes", [1, 7, 64, 1000])
def test_an_event_over_the_limit_is_an_error_that_names_the_limit(chunk_bytes: int) -> None:
    splitter = SseSplitter(max_event_bytes=100)
    stream = b"data: ok\n\n" + b"data: " + b"x" * 100 + b"\n\n"
    chunks = [stream[start : start + chunk_bytes] for start in range(0, len(stream), chunk_bytes)]

    with pytest.raises(SseEventTooLargeError, match="more than 100 bytes"):
        list(map(splitter.feed, chunks))


def test_many_events_of_the_largest_size_are_no_error() -> None:
    event = b"data: " + b"x" * 92 + b"\n\n"
    splitter = SseSplitter(max_event_bytes=len(event))

    assert len(splitter.feed(event * 3)) == 3
    assert len([*splitter.feed(event[:50]), *splitter.feed(event[50:] + event)]) == 2


def test_a_large_event_in_small_chunks_is_put_together() -> None:
    splitter = SseSplitter()
    event = b"data: " + b"x" * 1_000_000 + b"\n\n"

    events = [
        found for start in range(0, len(event), 1000) for found in splitter.feed(event[start : start + 1000])
    ]

    assert events == [SseEvent(event, None, b"x" * 1_000_000)]
