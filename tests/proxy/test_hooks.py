"""What a failing hook means for the call, by its attachment's policy."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from tests.proxy.conftest import StreamingRoom
from tests.proxy.test_stream_hooks import STREAM, Upper

from weir_host.errors import (
    PluginCallError,
    PluginError,
    PluginNotReadyError,
    PluginProtocolError,
    PluginTimeoutError,
    PluginTooLargeError,
)
from weir_proxy.errors import RefusalError
from weir_proxy.hooks import HookPipeline
from weir_proxy.metrics import Metrics
from weir_sdk import Response


class FailingHost:
    """Every plugin fails in one way, whatever it is asked."""

    def __init__(self, error: PluginError) -> None:
        self.error = error
        self.overrides: list[Any] = []

    def get(self, plugin_id: int, override: Any = None) -> FailingHost:
        self.overrides.append(override)
        return self

    def hold(self, *_: object) -> None:
        return None

    async def response_body(self, *_: object) -> NoReturn:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (PluginNotReadyError("x"), 503, "plugin_unavailable"),
        (PluginTimeoutError("x"), 503, "plugin_unavailable"),
        (PluginCallError("x"), 500, "plugin_error"),
        (PluginProtocolError("x"), 500, "plugin_error"),
        (PluginTooLargeError("x"), 413, "too_large_for_plugin"),
    ],
)
@pytest.mark.parametrize("policy", ["fail_open", "fail_closed"])
async def test_a_closed_plugin_that_fails_refuses_and_an_open_one_is_passed_over(
    room: StreamingRoom, policy: str, error: PluginError, status: int, code: str
) -> None:
    streamed = await room.stream(STREAM, (Upper, {"on_error": policy, "config_override": {"a": 1}}))
    host = FailingHost(error)
    hooks = HookPipeline(host, room._note_failure)  # type: ignore[arg-type]  # as much of one as a hook needs
    before = Response(body=b"answer")
    if policy == "fail_open":
        assert await hooks.response_body(streamed.call, before) is before
    else:
        with pytest.raises(RefusalError) as caught:
            await hooks.response_body(streamed.call, before)
        refusal = caught.value
        assert (refusal.status, refusal.code) == (status, code)
        assert (refusal.outcome, refusal.blocked_by) == ("blocked", "Upper")
        assert "x" not in refusal.message.split()
    assert room.failures == [(type(error).__name__, False)]
    assert host.overrides == [{"a": 1}]


QUOTING = PluginCallError(
    "plugin 'p': f raised KeyError: my salary", unquoted="plugin 'p': f raised KeyError"
)


@pytest.mark.parametrize("capture", ["full", "redacted", "none"])
async def test_a_plugins_own_words_are_logged_only_where_bodies_are_kept_in_full(
    room: StreamingRoom, capture: str
) -> None:
    streamed = await room.stream(STREAM, (Upper, {}), body_capture=capture)
    [point] = streamed.call.served.response
    with capture_logs() as logs:
        Metrics(CollectorRegistry()).plugin_failed(streamed.call, point, QUOTING)
    [line] = logs
    assert line["error"].startswith(QUOTING.unquoted)
    assert ("my salary" in line["error"]) == (capture == "full")
    assert (capture in line["error"]) == (capture != "full")


async def test_before_the_caller_is_known_no_words_of_a_plugin_are_logged(room: StreamingRoom) -> None:
    streamed = await room.stream(STREAM, (Upper, {}))
    streamed.call.caller = None
    [point] = streamed.call.served.response
    with capture_logs() as logs:
        Metrics(CollectorRegistry()).plugin_failed(streamed.call, point, QUOTING)
    assert "my salary" not in logs[0]["error"]


async def test_what_is_all_ours_is_logged_as_it_is(room: StreamingRoom) -> None:
    streamed = await room.stream(STREAM, (Upper, {}), body_capture="none")
    [point] = streamed.call.served.response
    with capture_logs() as logs:
        Metrics(CollectorRegistry()).plugin_failed(streamed.call, point, PluginTimeoutError("was not done"))
    assert logs[0]["error"] == "was not done"
