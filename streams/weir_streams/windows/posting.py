"""Alerts on their way to a webhook, signed as the batches of the webhook collector are."""

from __future__ import annotations

from typing import Final

import httpx2
import msgspec

from weir_core.clock import Clock
from weir_core.webhook_signing import Signer
from weir_streams.errors import WebhookError, WebhookRefusedError
from weir_streams.reports import Logger
from weir_streams.windows.judging import Judge, Kept
from weir_streams.windows.messages import ALERT_TYPE
from weir_streams.windows.status import StreamsStatus
from weir_streams.windows.store import Call

_TIMEOUT_S: Final = 8.0
_MOST: Final = 100
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_GIVE_UP_AFTER_US: Final = 24 * 3600 * 1_000_000
_LONGEST_TEXT: Final = 200
# Refused for who asks, or for when.
_NOT_ABOUT_THE_ALERT: Final = frozenset({401, 403, 408, 425, 429})


class WebhookPoster:
    """Posts ``{"type": "weir.alert.v1", "timestamp": ..., "data": <alert>}``, one alert a request.

    Args:
        url: Where to.
        signer: Makes the signature's headers; ``webhook-id`` is the alert's id.
        clock: The moment of the signature.
    """

    def __init__(self, url: str, signer: Signer, clock: Clock) -> None:
        self._url = url
        self._signer = signer
        self._clock = clock
        self._client = httpx2.AsyncClient(
            timeout=_TIMEOUT_S, headers={"content-type": "application/json"}, follow_redirects=False
        )

    async def post(self, kept: Kept) -> None:
        """Post one alert and wait for its answer.

        Raises:
            WebhookRefusedError: Retryable; the receiver answered 4xx, for this alert perhaps.
            WebhookError: Retryable; the receiver is not there, or cannot take anything now.
        """
        timestamp = msgspec.json.encode(kept.alert.window_start)
        body = b'{"type":"%b","timestamp":%b,"data":%b}' % (ALERT_TYPE.encode(), timestamp, kept.value)
        now_s = self._clock.wall_us() // 1_000_000
        headers = self._signer.headers(kept.alert.alert_id, now_s, body)
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except httpx2.HTTPError as error:
            what = str(error) or type(error).__name__
            raise WebhookError(f"{self._url} did not answer: {what}") from error
        if not answer.is_success:
            said = answer.text[:_LONGEST_TEXT] or "without a reason"
            about_it = answer.is_client_error and answer.status_code not in _NOT_ABOUT_THE_ALERT
            failed = WebhookRefusedError if about_it else WebhookError
            raise failed(f"{self._url} answered {answer.status_code}: {said}")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class PostingRound:
    """Posts alerts that wait, a while apart when the receiver does not take them.

    Args:
        judge: Where alerts are.
        poster: Posts one.
        call: Runs a blocking call of the judge.
        clock: The age of alerts, and the pauses.
        logger: Told of what fails.
        status: Brought up to date.
    """

    def __init__(
        self,
        judge: Judge,
        poster: WebhookPoster,
        *,
        call: Call,
        clock: Clock,
        logger: Logger,
        status: StreamsStatus,
    ) -> None:
        self._judge = judge
        self._poster = poster
        self._call = call
        self._clock = clock
        self._logger = logger
        self._status = status
        self._pause_s = 0.0
        self._not_before = clock.monotonic()

    async def post(self) -> None:
        """Try each alert that waits once; the first sign that the receiver is away ends the round."""
        if self._clock.monotonic() < self._not_before:
            return
        failed = False
        for kept in await self._call(self._judge.waiting, "posted", _MOST):
            try:
                await self._poster.post(kept)
            except WebhookError as error:
                failed = True
                await self._failed(kept, error)
                if not isinstance(error, WebhookRefusedError):
                    break
            else:
                self._status.posted += 1
                await self._call(self._judge.arrived, "posted", [kept])
        self._pause_s = min(max(_FIRST_PAUSE_S, self._pause_s * 2), _LONGEST_PAUSE_S) if failed else 0.0
        self._not_before = self._clock.monotonic() + self._pause_s

    async def _failed(self, kept: Kept, error: WebhookError) -> None:
        self._status.post_failures += 1
        self._logger.warning("alert not posted", alert=kept.alert.alert_id, error=str(error))
        if self._clock.wall_us() - kept.raised_us >= _GIVE_UP_AFTER_US:
            self._status.alerts_given_up += 1
            self._logger.error("alert given up; it is on the topic", alert=kept.alert.alert_id)
            await self._call(self._judge.arrived, "posted", [kept])
