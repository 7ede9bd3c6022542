"""Response plugins over streams: what each sees, what the client gets, and what a failure costs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.fakes.streaming import Step
from tests.proxy.conftest import Streamed, StreamingRoom

from weir_proxy import stream_hooks
from weir_proxy.errors import UpstreamBrokenError, UpstreamTooLargeError
from weir_sdk import BasePlugin, Context, Response


class Named(BasePlugin):
    def __init__(self) -> None:
        super().__init__(type(self).__name__, "1.0.0", "")


def chunk(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
STREAM = [chunk("one "), chunk("two ") + chunk("three "), b": ping\n\n", chunk("four", "stop"), DONE]


def text_of(streamed: Streamed) -> str:
    """What a client puts together, up to the end or an error."""
    said = []
    for event in streamed.text.split("\n\n"):
        if event.startswith("data: {"):
            document = json.loads(event.removeprefix("data: "))
            said += [choice["delta"]["content"] for choice in document.get("choices", ())]
    return "".join(said)


class Upper(Named):
    def on_before_write(self, ctx: Context, response: Response) -> None:
        if response.body != b"[DONE]":
            delta = response.json()["choices"][0]["delta"]
            delta["content"] = delta["content"].upper()


class Swallow(Named):
    """Swallows what contains ``two``, in any case."""

    def on_before_write(self, ctx: Context, response: Response) -> None:
        if b"two" in response.body.lower():
            response.body = b""


class HoldBack(Named):
    """Keeps all text back and releases it in two events before the end."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[str] = []

    def on_before_write(self, ctx: Context, response: Response) -> None:
        if response.body == b"[DONE]":
            middle = len(self.held) // 2
            halves = "".join(self.held[:middle]), "".join(self.held[middle:])
            response.body = b"".join(chunk(half) for half in halves) + DONE
        else:
            self.held.append(response.json()["choices"][0]["delta"]["content"])
            response.body = b""


class Bracket(Named):
    """Sees a whole text, and puts something before and behind what it releases."""

    def on_before_write(self, ctx: Context, response: Response) -> None:
        assert not response.is_stream_chunk
        response.body = chunk("<") + response.body.replace(DONE, b"") + chunk(">") + DONE


class Failing(Named):
    """Fails at every event that contains ``two``."""

    def on_before_write(self, ctx: Context, response: Response) -> None:
        if b"two" in response.body:
            raise RuntimeError("no")


class Hanging(Named):
    async def on_before_write(self, ctx: Context, response: Response) -> None:
        await asyncio.Event().wait()


OPEN: dict[str, Any] = {"on_error": "fail_open"}
CLOSED: dict[str, Any] = {"on_error": "fail_closed"}
BUFFER: dict[str, Any] = {"stream_mode": "buffer"}


async def test_without_a_plugin_every_byte_passes_and_the_end_waits_for_the_record(
    room: StreamingRoom,
) -> None:
    recorded: list[bool] = []

    def watch(streamed: Streamed) -> None:
        streamed.client.when_finished = lambda: recorded.append(streamed.call.recorded)

    streamed = await room.stream(STREAM, when=watch)
    assert streamed.client.body == b"".join(STREAM)
    assert streamed.client.writes == STREAM[:-1]
    assert streamed.client.end == DONE
    assert recorded == [True]
    assert (streamed.call.outcome, streamed.call.chunk_count) == ("served", 6)
    assert streamed.upstream.read_to_the_end


async def test_a_chunk_plugin_changes_each_event_as_it_comes_and_comments_pass(room: StreamingRoom) -> None:
    streamed = await room.stream(STREAM, (Upper, {}))
    assert text_of(streamed) == "ONE TWO THREE FOUR"
    assert len(streamed.client.writes) == 4
    assert b": ping\n\n" in streamed.client.writes
    assert streamed.client.end == DONE


UNSEEN = b"unseen"
HIDING = [
    b": unseen\n\n",
    b"event: unseen\n\n",
    b"id: unseen\n: unseen\n" + chunk("one "),
    b"event: unseen words\n" + chunk("two"),
    chunk("end", "stop").replace(b"\n\n", b"\nunseen: unseen\n\n"),
    DONE,
]


class Staying(Named):
    def on_before_write(self, ctx: Context, response: Response) -> None:
        assert UNSEEN not in response.body


@pytest.mark.parametrize("plugin", [Staying, Upper])
async def test_text_that_a_closed_chunk_plugin_has_not_seen_does_not_reach_the_client(
    room: StreamingRoom, plugin: type[BasePlugin]
) -> None:
    streamed = await room.stream(HIDING, (plugin, CLOSED))
    assert text_of(streamed).lower() == "one twoend"
    assert UNSEEN not in streamed.client.body
    assert streamed.client.writes[:2] == [b":\n\n", b":\n\n"]
    assert streamed.client.end == DONE
    assert (streamed.call.outcome, streamed.call.chunk_count) == ("served", 6)


@pytest.mark.parametrize("attachment", [OPEN, CLOSED | BUFFER, CLOSED | {"stream_mode": "off"}])
async def test_elsewhere_what_a_plugin_leaves_alone_keeps_every_byte(
    room: StreamingRoom, attachment: dict[str, Any]
) -> None:
    class Leaving(Named):
        def on_before_write(self, ctx: Context, response: Response) -> None:
            pass

    streamed = await room.stream(HIDING, (Leaving, attachment))
    assert streamed.client.body == b"".join(HIDING)


async def test_text_that_another_plugin_hides_from_a_closed_one_does_not_reach_the_client_either(
    room: StreamingRoom,
) -> None:
    class Framing(Named):
        def on_before_write(self, ctx: Context, response: Response) -> None:
            response.body = b"data: " + response.body + b"\nid: unseen\n\n: unseen\n\n"

    streamed = await room.stream(STREAM, (Framing, OPEN), (Staying, CLOSED))
    assert text_of(streamed) == "one two three four"
    assert UNSEEN not in streamed.client.body


async def test_a_swallowed_event_is_gone_and_not_counted(room: StreamingRoom) -> None:
    streamed = await room.stream(STREAM, (Swallow, {}))
    assert text_of(streamed) == "one three four"
    assert streamed.call.chunk_count == 5


async def test_text_that_a_plugin_held_back_comes_in_several_events_with_the_terminal_one(
    room: StreamingRoom,
) -> None:
    streamed = await room.stream(STREAM, (HoldBack, {}))
    assert streamed.client.writes == [b": ping\n\n"]
    assert streamed.client.end == chunk("one two ") + chunk("three four") + DONE
    assert streamed.call.chunk_count == 4
    assert streamed.call.response_body == streamed.client.body


async def test_a_buffering_plugin_sees_the_whole_stream_once(room: StreamingRoom) -> None:
    seen: list[tuple[bytes, bool, str]] = []

    class Seeing(Named):
        def on_before_write(self, ctx: Context, response: Response) -> None:
            seen.append((response.body, response.is_stream_chunk, response.headers["content-type"]))

    streamed = await room.stream(STREAM, (Seeing, BUFFER))
    assert seen == [(b"".join(STREAM), False, "text/event-stream")]
    assert (streamed.client.writes, streamed.client.end) == ([], b"".join(STREAM))


@pytest.mark.parametrize(
    ("answer", "released"),
    [
        (chunk("new") + DONE, chunk("new") + DONE),
        (b": note\n\n" + DONE, b": note\n\n" + DONE),
        (b"data: [DONE]", DONE),
        (b'{"just": "json"}', b'data: {"just": "json"}\n\n'),
        (b"", b""),
    ],
)
async def test_what_a_buffering_plugin_answers_goes_out_as_events(
    room: StreamingRoom, answer: bytes, released: bytes
) -> None:
    class Answering(Named):
        def on_before_write(self, ctx: Context, response: Response) -> None:
            response.body = answer

    streamed = await room.stream(STREAM, (Answering, BUFFER))
    assert streamed.client.end == released
    assert streamed.call.outcome == "served"


@pytest.mark.parametrize(
    ("plugins", "text"),
    [
        ([(Upper, {}), (Bracket, BUFFER)], "<ONE TWO THREE FOUR>"),
        ([(Bracket, BUFFER), (Upper, {}), (Swallow, {})], "<ONE THREE FOUR>"),
        ([(Swallow, {}), (Bracket, BUFFER), (Upper, {}), (Bracket, BUFFER)], "<<ONE THREE FOUR>>"),
        ([(Upper, {"stream_mode": "off"}), (Bracket, BUFFER)], "<one two three four>"),
        ([(HoldBack, {}), (Swallow, {})], "three four"),
    ],
)
async def test_plugins_of_different_modes_work_on_what_the_one_before_released(
    room: StreamingRoom, plugins: Sequence[Any], text: str
) -> None:
    assert text_of(await room.stream(STREAM, *plugins)) == text


async def test_a_plugin_without_a_body_handler_holds_nothing_up(room: StreamingRoom) -> None:
    class HeadersOnly(Named):
        def on_before_write_headers(self, ctx: Context, response: Response) -> None:
            response.headers["x-seen"] = str(response.status_code)

    streamed = await room.stream(STREAM, (HeadersOnly, BUFFER))
    assert streamed.client.writes == STREAM[:-1]
    assert streamed.client.headers["x-seen"] == "200"


async def test_a_plugin_that_fails_open_in_the_middle_loses_no_event(room: StreamingRoom) -> None:
    streamed = await room.stream(STREAM, (Failing, OPEN), (Upper, {}))
    assert text_of(streamed) == "ONE TWO THREE FOUR"
    assert room.failures == [("PluginCallError", False)]
    assert streamed.call.outcome == "served"


async def test_only_the_first_failure_in_a_stream_is_news(room: StreamingRoom) -> None:
    await room.stream([chunk("two"), chunk("two"), *STREAM[3:]], (Failing, OPEN))
    assert room.failures == [("PluginCallError", False), ("PluginCallError", True)]


async def test_a_closed_plugin_that_fails_in_the_middle_ends_the_stream_with_one_error(
    room: StreamingRoom,
) -> None:
    steps = [chunk("one "), chunk("and ") + chunk("two "), *STREAM[3:]]
    streamed = await room.stream(steps, (Failing, CLOSED))
    assert text_of(streamed) == "one and "
    *_, last = streamed.text.strip().split("\n\n")
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "plugin_error"
    assert (streamed.call.outcome, streamed.call.blocked_by) == ("blocked", "Failing")
    assert streamed.call.recorded
    assert streamed.call.answer is not None
    assert streamed.call.received_chars > 0
    assert streamed.upstream.left
    assert not streamed.upstream.read_to_the_end
    assert DONE not in streamed.client.body


async def test_a_closed_plugin_that_fails_at_the_end_releases_nothing_of_what_was_held(
    room: StreamingRoom,
) -> None:
    streamed = await room.stream(STREAM, (Failing, BUFFER | CLOSED))
    assert text_of(streamed) == ""
    assert streamed.text.count("data: ") == 1
    assert (streamed.call.outcome, streamed.call.chunk_count) == ("blocked", 0)


async def test_a_closed_plugin_that_fails_before_the_first_byte_is_a_refusal(room: StreamingRoom) -> None:
    class Refusing(Named):
        def on_before_write_headers(self, ctx: Context, response: Response) -> None:
            raise RuntimeError("no")

    streamed = await room.stream(STREAM, (Refusing, CLOSED))
    assert streamed.refusal is not None
    assert streamed.refusal.code == "plugin_error"
    assert not streamed.client.answering


@pytest.mark.parametrize("policy", [OPEN, CLOSED])
async def test_more_than_a_buffer_can_hold_is_passed_on_whole_or_blocked(
    room: StreamingRoom, policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_hooks, "MOST_BUFFERED_BYTES", 200)
    streamed = await room.stream(STREAM, (Bracket, BUFFER | policy), (Upper, {}))
    assert room.failures == [("PluginTooLargeError", False)]
    if policy is OPEN:
        assert text_of(streamed) == "ONE TWO THREE FOUR"
        assert streamed.client.end == DONE
        assert streamed.call.outcome == "served"
    else:
        assert text_of(streamed) == ""
        assert '"code":"too_large_for_plugin"' in streamed.text
        assert streamed.call.outcome == "blocked"


@pytest.mark.parametrize("policy", [OPEN, CLOSED])
async def test_a_hook_that_hangs_has_its_timeout_for_each_call_and_less_for_all(
    room: StreamingRoom, policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_hooks, "ALL_CALLS_S", 0.05)
    streamed = await room.stream(STREAM, (Hanging, {"timeout_ms": 30} | policy))
    if policy is OPEN:
        # Two calls use the time up; then the plugin is given up, which is told once.
        assert room.failures == [("PluginTimeoutError", False)] + [("PluginTimeoutError", True)] * 2
        assert text_of(streamed) == "one two three four"
    else:
        assert room.failures == [("PluginTimeoutError", False)]
        assert '"code":"plugin_unavailable"' in streamed.text
        assert streamed.call.outcome == "blocked"


async def test_a_bare_carriage_return_in_an_answer_stays_inside_its_event(room: StreamingRoom) -> None:
    class Evil(Named):
        def on_before_write(self, ctx: Context, response: Response) -> None:
            if response.body != b"[DONE]":
                response.body = b'{"a": 1}\r\rdata: {"b": 2}\r\n\r\ndata: [DONE]'

    streamed = await room.stream([chunk("x"), chunk("y", "stop"), DONE], (Evil, {}))
    # Split as the strictest reader would: the empty line ends an event.
    events = [
        event for event in streamed.text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n") if event
    ]
    assert len(events) == 3
    assert events[-1] == "data: [DONE]"


class Cutting(Named):
    """Ends the answer as soon as it has seen ``two``."""

    def on_before_write(self, ctx: Context, response: Response) -> None:
        if b"two" in response.body:
            response.body = chunk("cut", "stop") + DONE


async def test_an_end_of_a_plugins_own_making_is_held_back_too_and_the_usage_is_still_read(
    room: StreamingRoom,
) -> None:
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 9}}\n\n'
    recorded: list[bool] = []

    def watch(streamed: Streamed) -> None:
        streamed.client.when_finished = lambda: recorded.append(streamed.call.recorded)

    streamed = await room.stream([*STREAM[:-1], usage, DONE], (Cutting, {}), when=watch)
    assert streamed.client.writes == [chunk("one "), chunk("cut", "stop")]
    assert streamed.client.end == DONE
    assert recorded == [True]
    assert streamed.call.answer is not None
    assert streamed.call.answer.usage is not None
    assert streamed.call.answer.usage.response_tokens == 9


async def test_an_answer_that_a_plugin_ended_is_whole_though_the_upstream_breaks_off_behind_it(
    room: StreamingRoom,
) -> None:
    streamed = await room.stream([*STREAM[:2], UpstreamBrokenError("gone")], (Cutting, {}))
    assert streamed.client.end == DONE
    assert streamed.call.outcome == "upstream_error"


async def test_what_plugins_hold_goes_out_before_the_error_of_a_broken_upstream(room: StreamingRoom) -> None:
    steps: list[Step] = [*STREAM[:2], UpstreamBrokenError("gone")]
    streamed = await room.stream(steps, (Bracket, BUFFER))
    assert text_of(streamed) == "<one two three >"
    *_, last = streamed.text.strip().split("\n\n")
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_broken"
    assert streamed.call.outcome == "upstream_error"


@pytest.mark.parametrize("plugins", [[], [(Upper, {})]])
async def test_a_last_event_without_its_empty_line_still_counts(
    room: StreamingRoom, plugins: Sequence[Any]
) -> None:
    streamed = await room.stream([chunk("end", "stop"), b"data: [DONE]\n"], *plugins)
    assert text_of(streamed).lower() == "end"
    assert streamed.client.end == DONE
    assert streamed.call.outcome == "served"


@pytest.mark.parametrize(("plugins", "released"), [([], b'data: {"cho'), ([(Upper, {})], b"")])
async def test_half_an_event_behind_the_answer_is_no_event(
    room: StreamingRoom, plugins: Sequence[Any], released: bytes
) -> None:
    streamed = await room.stream([chunk("end", "stop"), b'data: {"cho'], *plugins)
    assert streamed.client.end == released
    assert streamed.call.outcome == "served"
    assert streamed.call.chunk_count == 1


async def test_what_follows_the_end_without_being_an_event_is_shown_to_no_plugin(room: StreamingRoom) -> None:
    streamed = await room.stream([chunk("end", "stop"), DONE + b'data: {"cho'], (Upper, CLOSED))
    assert (streamed.client.end, streamed.call.outcome) == (DONE, "served")


@pytest.mark.parametrize("plugins", [[], [(Upper, {})]])
async def test_half_an_event_in_the_middle_of_the_answer_gives_way_to_the_error(
    room: StreamingRoom, plugins: Sequence[Any]
) -> None:
    streamed = await room.stream([chunk("one"), b'data: {"choi'], *plugins)
    assert b'{"choi' not in (streamed.client.end or b"").replace(b'{"choices"', b"")
    assert streamed.client.end is not None
    assert streamed.client.end.startswith(b'data: {"type":"error"')
    assert streamed.call.outcome == "upstream_error"


async def test_hooks_end_when_the_client_hangs_up(room: StreamingRoom) -> None:
    entered: list[Streamed] = []

    class Waiting(Named):
        async def on_before_write(self, ctx: Context, response: Response) -> None:
            entered[0].client.hang_up()
            await asyncio.Event().wait()

    streamed = await room.stream(STREAM, (Waiting, CLOSED | {"timeout_ms": 60_000}), when=entered.append)
    assert streamed.hung_up
    assert streamed.upstream.left
    assert streamed.client.body == b""
    assert room.failures == []
    assert streamed.call.response_body == b""


@pytest.mark.parametrize(("capture", "kept"), [("full", True), ("redacted", True), ("none", False)])
async def test_a_stream_is_kept_for_its_events_as_far_as_they_carry_it(
    room: StreamingRoom, capture: str, kept: bool
) -> None:
    room.capture_limit = 10
    streamed = await room.stream([chunk("x" * 9000), *STREAM], body_capture=capture)
    call = streamed.call
    assert call.response_bytes == len(streamed.client.body)
    assert (bool(call.response_body), call.response_sha256 is not None) == (kept, kept)
    assert len(call.response_body) < len(streamed.client.body)


async def test_an_answer_that_is_no_stream_after_all_has_the_limit_of_whole_answers(
    room: StreamingRoom,
) -> None:
    def watch(streamed: Streamed) -> None:
        streamed.upstream.headers = [("content-type", "application/json")]

    with pytest.raises(UpstreamTooLargeError):
        await room.stream([b"x" * 600, b"x" * 600], when=watch)
