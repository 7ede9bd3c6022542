"""Alerts that are posted to a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from tests.streams.support import RecordingLogger
from tests.streams.windows.bench import LENGTH_S, NOON_S, HeldClock, add, new_store, record
from tests.support.webhook import Receiver, receiver

from weir_core.webhook_signing import Signer
from weir_streams.windows.judging import Judge
from weir_streams.windows.posting import PostingRound, WebhookPoster
from weir_streams.windows.rules import Rules
from weir_streams.windows.status import StreamsStatus

SIGNER = Signer("a secret of the tests")
DAY_S = 24 * 3600


class Bench:
    """Two alerts that wait, and rounds that post them."""

    def __init__(self, directory: Path, posted: Receiver) -> None:
        store = new_store(directory)
        self.clock = HeldClock(NOON_S + LENGTH_S)
        self.judge = Judge(store, Rules(spend_nano=1), posts=True)
        self.status = StreamsStatus()
        self.poster = WebhookPoster(posted.url, SIGNER, self.clock)
        add(store, record(0), record(1, app_id=8))
        self.judge.judge(self.clock.wall_us())
        self.round = PostingRound(
            self.judge,
            self.poster,
            call=self._call,
            clock=self.clock,
            logger=RecordingLogger(),
            status=self.status,
        )

    @property
    def waiting(self) -> int:
        return len(self.judge.waiting("posted"))

    async def _call(self, blocking: Callable[..., Any], *args: Any) -> Any:
        return blocking(*args)


@asynccontextmanager
async def bench(directory: Path, *statuses: int) -> AsyncIterator[tuple[Bench, Receiver]]:
    async with receiver(*statuses) as posted:
        made = Bench(directory, posted)
        yield made, posted
        await made.poster.close()


async def test_an_alert_is_posted_once_and_signed(tmp_path: Path) -> None:
    async with bench(tmp_path) as (posting, posted):
        await posting.round.post()
        await posting.round.post()
        assert (len(posted.requests), posting.waiting, posting.status.posted) == (2, 0, 2)
        headers, body = posted.requests[0]
        alert = msgspec.json.decode(body)["data"]
        assert headers["webhook-id"] == alert["alert_id"]
        expected = SIGNER.headers(headers["webhook-id"], int(headers["webhook-timestamp"]), body)
        assert headers["webhook-signature"] == expected["webhook-signature"]


async def test_what_the_receiver_does_not_take_is_posted_again_after_a_pause(tmp_path: Path) -> None:
    async with bench(tmp_path, 503) as (posting, posted):
        await posting.round.post()
        await posting.round.post()
        assert (len(posted.requests), posting.waiting) == (1, 2)
        posting.clock.since_start_s += 1
        await posting.round.post()
        assert (posting.waiting, posting.status.post_failures) == (0, 1)


async def test_an_alert_that_is_refused_does_not_hold_up_the_next(tmp_path: Path) -> None:
    async with bench(tmp_path, 422) as (posting, _):
        await posting.round.post()
        assert (posting.waiting, posting.status.posted) == (1, 1)


async def test_an_alert_is_given_up_after_a_day(tmp_path: Path) -> None:
    async with bench(tmp_path, *[422] * 4) as (posting, _):
        await posting.round.post()
        assert posting.waiting == 2
        posting.clock.wall_s += DAY_S
        posting.clock.since_start_s += DAY_S
        await posting.round.post()
        assert (posting.waiting, posting.status.alerts_given_up) == (0, 2)


async def test_a_receiver_that_is_away_loses_no_alert(tmp_path: Path) -> None:
    async with bench(tmp_path) as (posting, posted):
        posted.server.close()
        await posted.server.wait_closed()
        await asyncio.wait_for(posting.round.post(), 20)
        assert (posting.waiting, posting.status.post_failures) == (2, 1)
