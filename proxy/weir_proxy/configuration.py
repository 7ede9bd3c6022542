"""A snapshot made ready for the hot path: vendors resolved, patterns compiled, hook stages laid out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from weir_core.objects import Attachment, HookType, Llm, Plugin, StreamMode
from weir_core.prices import PriceTable
from weir_core.snapshot import Snapshot
from weir_core.vendors import Operation, Vendor, get_vendor
from weir_proxy.errors import RefusalError
from weir_proxy.headers import header_lines, reserved_headers
from weir_proxy.routes import Mode, clean_native_path, match_llm

_GUARDS: frozenset[HookType] = frozenset(("pre_auth", "auth", "post_auth"))
_MAX_KNOWN_TARGETS = 4096
_MOST_STAND_INS = 3


@dataclass(frozen=True, slots=True)
class HookPoint:
    """One plugin at one stage of one LLM: whom to call, for how long, and what a failure means.

    ``shown_headers`` are the lower-case globs of request headers that also go to the client;
    ``config_override`` is laid over the plugin's config and gives the attachment an instance of its own.
    Until that is ready for the first time, those of the overrides before (``stand_ins``) go on serving.
    """

    plugin_id: int
    plugin: str
    timeout_s: float
    fail_closed: bool
    stream_mode: StreamMode
    default_app_id: int | None
    shown_headers: tuple[str, ...]
    config_override: Mapping[str, Any]
    stand_ins: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ServedLlm:
    """An LLM as the proxy serves it.

    ``set_lines`` (the vendor's key and more) go upstream every time, ``default_headers`` where neither client
    nor plugins set them; plugins may set no ``reserved_headers``.
    """

    llm: Llm
    vendor: Vendor
    timeout_s: float
    allowed_models: re.Pattern[str] | None
    set_lines: str
    default_headers: tuple[tuple[str, str], ...]
    reserved_headers: frozenset[str]
    pre_auth: tuple[HookPoint, ...]
    auth: tuple[HookPoint, ...]
    post_auth: tuple[HookPoint, ...]
    response: tuple[HookPoint, ...]

    def allows_model(self, model: str) -> bool:
        """Whether the whole name matches one of ``allowed_models``; an empty list allows every model."""
        return self.allowed_models is None or self.allowed_models.fullmatch(model) is not None


@dataclass(frozen=True, slots=True)
class Target:
    """What a method and a path ask for. ``url`` is the upstream's, without a query.

    ``refusal`` says why there is no ``operation``; the call is admitted all the same, so that it leaves its
    proxy log.
    """

    served: ServedLlm
    mode: Mode
    path: str
    native_path: str
    operation: Operation | None
    url: str
    refusal: RefusalError | None


class Configuration:
    """One revision, compiled. A request takes a reference at its start and keeps it to its end."""

    __slots__ = ("_known", "by_id", "by_slug", "prices", "snapshot")

    def __init__(self, snapshot: Snapshot, previous: Configuration | None = None) -> None:
        self.snapshot = snapshot
        same_prices = previous is not None and previous.snapshot.model_prices == snapshot.model_prices
        self.prices: PriceTable = (
            previous.prices if previous is not None and same_prices else PriceTable(snapshot.model_prices)
        )
        self.by_id: Mapping[int, ServedLlm] = {
            llm.id: _serve(llm, snapshot.plugins, previous.by_id.get(llm.id) if previous else None)
            for llm in snapshot.llms.values()
        }
        self.by_slug: Mapping[str, ServedLlm] = {served.llm.slug: served for served in self.by_id.values()}
        self._known: dict[tuple[str, str], Target] = {}

    @property
    def is_loaded(self) -> bool:
        """Whether this is a revision at all: without one a proxy knows of no LLM, whichever there are."""
        return self.snapshot.revision > 0

    def target(self, method: str, raw_path: str) -> Target | None:
        """Resolve a request; None when its path names no LLM of this revision.

        Paths that can be called are remembered, up to a few thousand of them.
        """
        known = self._known.get((method, raw_path))
        if known is not None:
            return known
        target = self._resolve(method, raw_path)
        if target is not None and target.refusal is None and len(self._known) < _MAX_KNOWN_TARGETS:
            self._known[method, raw_path] = target
        return target

    def _resolve(self, method: str, raw_path: str) -> Target | None:
        route = match_llm(raw_path)
        if route is None:
            return None
        served = self.by_slug.get(route.slug) if route.slug is not None else self.by_id.get(route.llm_id or 0)
        if served is None:
            return None
        native_path, operation, url, refusal = route.native_path, None, "", None
        try:
            native_path = clean_native_path(native_path)
            operation = _find_operation(served.vendor, method, native_path)
            url = served.vendor.upstream_url(served.llm.api_endpoint, native_path, "")
        except RefusalError as error:
            refusal = error
        return Target(served, route.mode, raw_path, native_path, operation, url, refusal)


def _find_operation(vendor: Vendor, method: str, native_path: str) -> Operation:
    operation = vendor.match(method, native_path)
    if operation is None and "%2F" in native_path:
        raise RefusalError(400, "invalid_path", "The request path has an encoded slash where none can be.")
    if operation is None:
        raise RefusalError(
            403,
            "operation_not_supported",
            f"{method} {native_path} is not an operation that this gateway offers for {vendor.name}.",
        )
    return operation


def _serve(llm: Llm, plugins: Mapping[int, Plugin], before: ServedLlm | None) -> ServedLlm:
    stand_ins = partial(_stand_ins, _points(before))
    vendor = get_vendor(llm.vendor)
    key_headers = vendor.upstream_auth_headers(llm.api_key.reveal()) if llm.api_key else []
    # Answers are read for their usage, so none is asked for in compressed form.
    set_headers = (*key_headers, ("accept-encoding", "identity"))
    return ServedLlm(
        llm=llm,
        vendor=vendor,
        timeout_s=float(llm.timeout_seconds),
        allowed_models=_one_pattern(llm.allowed_models) if llm.allowed_models else None,
        set_lines=header_lines(set_headers),
        default_headers=(*vendor.default_headers, ("user-agent", "weir")),
        reserved_headers=reserved_headers(set_headers),
        pre_auth=_stage(llm, plugins, "pre_auth", stand_ins),
        auth=_stage(llm, plugins, "auth", stand_ins),
        post_auth=_stage(llm, plugins, "post_auth", stand_ins),
        response=_stage(llm, plugins, "on_response", stand_ins),
    )


@lru_cache(maxsize=1024)
def _one_pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def _points(served: ServedLlm | None) -> Mapping[int, HookPoint]:
    if served is None:
        return {}
    stages = (served.pre_auth, served.auth, served.post_auth, served.response)
    return {point.plugin_id: point for stage in stages for point in stage}


def _stand_ins(before: Mapping[int, HookPoint], attachment: Attachment) -> tuple[Mapping[str, Any], ...]:
    point = before.get(attachment.plugin_id)
    if point is None:
        return ()
    if point.config_override == attachment.config_override:
        return point.stand_ins
    return (point.config_override, *point.stand_ins)[:_MOST_STAND_INS]


def _stage(
    llm: Llm,
    plugins: Mapping[int, Plugin],
    hook_type: HookType,
    stand_ins: Callable[[Attachment], tuple[Mapping[str, Any], ...]],
) -> tuple[HookPoint, ...]:
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
                stream_mode=attachment.stream_mode,
                default_app_id=attachment.default_app_id,
                shown_headers=tuple(glob.lower() for glob in attachment.response_headers),
                config_override=attachment.config_override,
                stand_ins=stand_ins(attachment),
            )
        )
    return tuple(points)
