"""A snapshot made ready for the hot path: vendors resolved, patterns compiled, hook stages laid out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from weir_core.objects import Attachment, HookType, Llm, Plugin
from weir_core.prices import PriceTable
from weir_core.snapshot import Snapshot
from weir_core.vendors import Vendor, get_vendor

_GUARDS: frozenset[HookType] = frozenset(("pre_auth", "auth", "post_auth"))


@dataclass(frozen=True, slots=True)
class HookPoint:
    """One plugin at one stage of one LLM: whom to call, for how long, and what a failure means."""

    plugin_id: int
    plugin: str
    timeout_s: float
    fail_closed: bool
    attachment: Attachment


@dataclass(frozen=True, slots=True)
class ServedLlm:
    """An LLM as the proxy serves it."""

    llm: Llm
    vendor: Vendor
    timeout: timedelta
    allowed_models: re.Pattern[str] | None
    upstream_auth: tuple[tuple[str, str], ...]
    pre_auth: tuple[HookPoint, ...]
    auth: tuple[HookPoint, ...]
    post_auth: tuple[HookPoint, ...]
    response: tuple[HookPoint, ...]

    def allows_model(self, model: str) -> bool:
        """Whether the whole name matches one of ``allowed_models``; an empty list allows every model."""
        return self.allowed_models is None or self.allowed_models.fullmatch(model) is not None


class Configuration:
    """One revision, compiled. A request takes a reference at its start and keeps it to its end."""

    __slots__ = ("by_id", "by_slug", "prices", "snapshot")

    def __init__(self, snapshot: Snapshot, previous: Configuration | None = None) -> None:
        self.snapshot = snapshot
        same_prices = previous is not None and previous.snapshot.model_prices == snapshot.model_prices
        self.prices: PriceTable = (
            previous.prices if previous is not None and same_prices else PriceTable(snapshot.model_prices)
        )
        self.by_id: Mapping[int, ServedLlm] = {
            llm.id: _serve(llm, snapshot.plugins) for llm in snapshot.llms.values()
        }
        self.by_slug: Mapping[str, ServedLlm] = {served.llm.slug: served for served in self.by_id.values()}

    def find(self, slug: str | None, llm_id: int | None) -> ServedLlm | None:
        """The LLM a route names, by slug or else by id."""
        if slug is not None:
            return self.by_slug.get(slug)
        return None if llm_id is None else self.by_id.get(llm_id)


def _serve(llm: Llm, plugins: Mapping[int, Plugin]) -> ServedLlm:
    vendor = get_vendor(llm.vendor)
    return ServedLlm(
        llm=llm,
        vendor=vendor,
        timeout=timedelta(seconds=llm.timeout_seconds),
        allowed_models=_one_pattern(llm.allowed_models) if llm.allowed_models else None,
        upstream_auth=tuple(vendor.upstream_auth_headers(llm.api_key.reveal())) if llm.api_key else (),
        pre_auth=_stage(llm, plugins, "pre_auth"),
        auth=_stage(llm, plugins, "auth"),
        post_auth=_stage(llm, plugins, "post_auth"),
        response=_stage(llm, plugins, "on_response"),
    )


@lru_cache(maxsize=1024)
def _one_pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def _stage(llm: Llm, plugins: Mapping[int, Plugin], hook_type: HookType) -> tuple[HookPoint, ...]:
    """The active plugins of a stage in attachment order.

    A plugin that an admin switched off is not there at all; one that merely is not running still is.
    """
    points = []
    for attachment in llm.attachments:
        plugin = plugins.get(attachment.plugin_id)
        if plugin is None or not plugin.is_active or hook_type not in plugin.hook_types:
            continue
        on_error = attachment.on_error or ("fail_closed" if hook_type in _GUARDS else "fail_open")
        points.append(
            HookPoint(
                plugin_id=plugin.id,
                plugin=plugin.name,
                timeout_s=attachment.timeout_ms / 1000,
                fail_closed=on_error == "fail_closed",
                attachment=attachment,
            )
        )
    return tuple(points)
