"""``python://weir_collectors.builtin.webhook:WebhookCollector``: batches of events, posted to a URL.

| the receiver ...                             | and the batch ...                                     |
|----------------------------------------------|-------------------------------------------------------|
| answers 2xx                                  | is handled                                            |
| answers 413                                  | goes in two halves                                    |
| answers 401, 403, 408, 425, 429, 3xx or 5xx  | comes again, after ``Retry-After``; the breaker counts |
| answers another 4xx                          | comes again; alone, an event is then a dead letter    |
| cannot be reached, or takes too long         | comes again; the breaker counts                       |

Delivery is at least once: an event may come again, alone or in other company. ``event_id`` tells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import httpx2
import msgspec
from msgspec import Meta

from weir_collectors.builtin.errors import (
    RequestRefusedError,
    RequestTooLargeError,
    SinkConfigError,
    SinkError,
    SinkUnreachableError,
)
from weir_collectors.builtin.packing import Item
from weir_collectors.builtin.retry_after import retry_after_s
from weir_collectors.builtin.sink import Outcome, Sink
from weir_collectors.builtin.sink_config import Seconds, Secret, TlsConfig
from weir_core.clock import SystemClock
from weir_core.webhook_signing import Signer
from weir_sdk import Analytics, BudgetUsage, Context, Event, ProxyLog

Format = Literal["json_lines", "json_array"]

_TYPE: Final[Mapping[type[Event], str]] = {
    ProxyLog: "weir.proxy_log.v1",
    Analytics: "weir.analytics.v1",
    BudgetUsage: "weir.budget_usage.v1",
}
_CONTENT_TYPE: Final[Mapping[Format, str]] = {
    "json_lines": "application/x-ndjson",
    "json_array": "application/json",
}
_OWN_HEADERS: Final = frozenset(
    {"content-length", "content-type", "host", "webhook-id", "webhook-signature", "webhook-timestamp"}
)
# Refused for who asks, or for when: what is in the batch is not to blame.
_NOT_ABOUT_THE_BATCH: Final = frozenset({401, 403, 408, 425, 429})
_LONGEST_TEXT: Final = 200


class WebhookConfig(TlsConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where batches go, and how they are signed."""

    url: Annotated[str, Meta(pattern=r"^https?://[^@\s/]+(/[^@\s]*)?$", description="Where to post.")]
    secret: Annotated[
        Secret, Meta(min_length=16, description="Key of the signature: whsec_ and base64, or any text.")
    ]
    format: Annotated[Format, Meta(description="Events as lines of JSON or as one JSON array.")] = (
        "json_lines"
    )
    headers: Annotated[
        dict[str, str],
        Meta(description="Sent with every request.", extra_json_schema={"writeOnly": True}),
    ] = msgspec.field(default_factory=dict)
    request_timeout_seconds: Annotated[
        Seconds, Meta(description="How long one request may take; keep it below the collector's timeout_ms.")
    ] = 8.0


class WebhookCollector(Sink[WebhookConfig]):
    """Posts ``{"type": ..., "timestamp": ..., "data": <event>}`` for each event, signed."""

    name = "Webhook"
    version = "1.0.0"
    description = "Posts events in signed batches to a URL."
    config_type = WebhookConfig

    async def open(self, ctx: Context) -> None:
        """Make the client; it connects when there is something to send."""
        config = self.config
        taken = sorted(_OWN_HEADERS.intersection(name.lower() for name in config.headers))
        if taken:
            raise SinkConfigError(f"headers: {', '.join(taken)} cannot be set; Weir sets it", field="headers")
        try:
            self._signer = Signer(config.secret)
        except ValueError as error:
            raise SinkConfigError(f"secret: {error}", field="secret") from error
        self._clock = SystemClock()
        self._client = httpx2.AsyncClient(
            headers={**config.headers, "content-type": _CONTENT_TYPE[config.format]},
            timeout=config.request_timeout_seconds,
            verify=config.ssl_context(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def encode(self, event: Event) -> bytes:
        """The event in its envelope, without a newline."""
        timestamp = msgspec.json.encode(event.timestamp)
        return b'{"type":"%b","timestamp":%b,"data":%b}' % (
            _TYPE[type(event)].encode(),
            timestamp,
            event.to_json(),
        )

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Post one body. Only its last byte's answer says that it was taken."""
        body = _body(items, self.config.format)
        headers = self._signer.headers(_id_of(items), self._clock.wall_us() // 1_000_000, body)
        try:
            answer = await self._client.post(self.config.url, content=body, headers=headers)
        except httpx2.HTTPError as error:
            what = str(error) or type(error).__name__
            raise SinkUnreachableError(f"{self.config.url} did not answer: {what}") from error
        if not answer.is_success:
            raise _refusal(answer)
        return [None] * len(items)


def _body(items: Sequence[Item], how: Format) -> bytes:
    if how == "json_array":
        return b"[%b]" % b",".join(item.data for item in items)
    return b"".join(item.data + b"\n" for item in items)


def _id_of(items: Sequence[Item]) -> str:
    """The same for the same events in the same order, so that a receiver may know a repeated batch by it."""
    ids = "\n".join(item.event.event_id for item in items)
    return f"msg_{hashlib.sha256(ids.encode()).hexdigest()[:32]}"


def _refusal(answer: httpx2.Response) -> SinkError:
    status = answer.status_code
    message = f"{answer.url} answered {status}: {answer.text[:_LONGEST_TEXT] or 'without a reason'}"
    if status == 413:
        return RequestTooLargeError(message)
    if 400 <= status < 500 and status not in _NOT_ABOUT_THE_BATCH:
        return RequestRefusedError(message)
    return SinkUnreachableError(message, retry_after_s=retry_after_s(answer.headers.get("retry-after")))
