"""The ``[streams]`` table: how long windows are, and what raises an alert."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr

from weir_core.options_table import OptionsTable

_DAY_S: Final = 24 * 3600
_LEAST_SECRET: Final = 16


def _divides_a_day(seconds: int) -> int:
    if _DAY_S % seconds:
        raise ValueError("must divide a day without a rest, such as 60, 300 or 3600")
    return seconds


def _long_enough(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and len(secret.get_secret_value()) < _LEAST_SECRET:
        raise ValueError(f"must have {_LEAST_SECRET} characters or more")
    return secret


class StreamsOptions(OptionsTable):
    """What ``weir streams`` does. An alert whose limit is unset is never raised."""

    window_seconds: Annotated[int, AfterValidator(_divides_a_day)] = Field(
        default=300,
        ge=1,
        le=_DAY_S,
        description="Length of a window of `weir.spend.v1`; it divides a day. Changed, all windows are made "
        "anew from the events that Kafka still has.",
    )
    keep_days: float = Field(
        default=30,
        gt=0,
        le=3650,
        description="Windows older than this are taken out of `weir.spend.v1`, and later events for them "
        "are not added. No longer than `kafka.analytics_days`.",
    )
    alert_spend: Decimal | None = Field(
        default=None, gt=0, le=10**9, description="Alert when an app spends this much in one window."
    )
    alert_spike_factor: Decimal | None = Field(
        default=None,
        gt=1,
        description="Alert when an app spends more than so many times its moving average in one window.",
    )
    alert_spike_windows: int = Field(
        default=12,
        ge=1,
        le=1000,
        description="How many earlier windows with spend make that average; an app that has had fewer "
        "raises no such alert.",
    )
    alert_error_rate: Decimal | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Alert when this share of an LLM's requests in one window was not served; 0.1 is a "
        "tenth.",
    )
    alert_error_requests: int = Field(
        default=20, ge=1, description="How many requests that window must have for it."
    )
    webhook_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^@\s/]+(/[^@\s]*)?$",
        description="Where alerts are posted, besides `weir.alert.v1`. See docs/streams.md.",
    )
    webhook_secret: Annotated[SecretStr | None, AfterValidator(_long_enough)] = Field(
        default=None,
        description="Key of the signature of what is posted: `whsec_` and base64, or any text of 16 "
        "characters or more.",
    )
    stall_seconds: float = Field(
        default=60,
        ge=1,
        description="With events to read and none read for this long, `weir streams` ends with exit code 1, "
        "to be started anew.",
    )
