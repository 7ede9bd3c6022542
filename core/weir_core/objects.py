"""Configuration as immutable objects: what control publishes and what every other role reads."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from weir_core.secrets import Secret

BodyCapture = Literal["full", "redacted", "none"]
OnError = Literal["fail_closed", "fail_open"]
StreamMode = Literal["chunks", "buffer", "off"]
HookType = Literal[
    "pre_auth", "auth", "post_auth", "on_response", "data_collection", "custom_endpoint", "studio"
]
Runtime = Literal["gateway", "studio"]
OnOutage = Literal["store", "pause"]


class Attachment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One plugin in an LLM's ordered list.

    ``on_error`` None means the stage's default: ``fail_closed`` for pre_auth, auth and post_auth,
    ``fail_open`` for the response hooks.
    """

    plugin_id: int
    timeout_ms: int = 1000
    on_error: OnError | None = None
    stream_mode: StreamMode = "chunks"
    default_app_id: int | None = None
    response_headers: tuple[str, ...] = ("X-RateLimit-*",)
    config_override: dict[str, Any] = {}


class Llm(msgspec.Struct, frozen=True, kw_only=True, tag="llm"):
    """An upstream model endpoint that apps may call by its slug."""

    id: int
    name: str
    slug: str
    vendor: str
    api_endpoint: str
    api_key: Secret | None = None
    default_model: str | None = None
    allowed_models: tuple[str, ...] = ()
    is_active: bool = True
    timeout_seconds: int = 300
    body_capture: BodyCapture = "full"
    namespace: str = ""
    metadata: dict[str, Any] = {}
    attachments: tuple[Attachment, ...] = ()


class App(msgspec.Struct, frozen=True, kw_only=True, tag="app"):
    """A caller: what it may use and how it is recorded. No LLM ids means no LLM."""

    id: int
    name: str
    description: str = ""
    owner_email: str = ""
    user_id: str | None = None
    llm_ids: tuple[int, ...] = ()
    is_active: bool = True
    body_capture: BodyCapture = "full"
    namespace: str = ""
    metadata: dict[str, Any] = {}


class Credential(msgspec.Struct, frozen=True, kw_only=True, tag="credential"):
    """A bearer secret of an app, known here by its hash only."""

    id: int
    app_id: int
    key_id: str
    secret_hash: bytes
    name: str = ""
    scopes: tuple[str, ...] = ()
    expires_at_us: int | None = None


class CollectorOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a data_collection plugin is driven.

    ``max_lag`` is how many events an observer may be behind before it is moved to the end of the log.
    """

    observer: bool = False
    timeout_ms: int = 10_000
    max_tries: int = 3
    window: int = 256
    on_outage: OnOutage = "store"
    max_lag: int = 1_000_000


class Plugin(msgspec.Struct, frozen=True, kw_only=True, tag="plugin"):
    """A plugin as the admin wants it; what it is doing is its observed state, kept elsewhere.

    ``secrets`` are the values in its configurations that nothing said about it may repeat.
    ``generation`` is raised by a reload: nothing else of the plugin changes, and it starts anew everywhere.
    """

    id: int
    name: str
    slug: str
    command: str
    description: str = ""
    checksum: str | None = None
    config: dict[str, Any] = {}
    hook_types: tuple[HookType, ...] = ()
    collector: CollectorOptions = CollectorOptions()
    service_scopes: tuple[str, ...] = ()
    is_active: bool = True
    runtime: Runtime = "gateway"
    required_for_ready: bool = False
    namespace: str = ""
    generation: int = 1
    secrets: tuple[Any, ...] = ()


class ModelPrice(msgspec.Struct, frozen=True, kw_only=True, tag="model_price"):
    """An admin's own price, in decimal strings per million tokens; None means the catalogue's price."""

    id: int
    vendor: str
    model: str
    input: str | None = None
    output: str | None = None
    cache_read: str | None = None
    cache_write: str | None = None
    reasoning: str | None = None
    currency: str = "USD"
    effective_from_us: int | None = None


ConfigObject = Llm | App | Credential | Plugin | ModelPrice
