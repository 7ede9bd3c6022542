"""A plugin in requests and in answers."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from weir_control.api import not_supported as later
from weir_control.api.answers import Stored
from weir_control.api.fields import Description, InputModel, Name, Namespace, Slug, all_different
from weir_core.objects import HookType, OnOutage, Runtime
from weir_host.commands import parse_command
from weir_host.errors import InvalidCommandError
from weir_host.instance import State

_SCOPE_PATTERN: Final = r"^[a-z0-9_-]+(?:[.:][a-z0-9_*-]+)*$"


def _command(text: str) -> str:
    try:
        parse_command(text)
    except InvalidCommandError as error:
        code: Literal["not_supported_yet", "invalid"] = getattr(error, "code", "invalid")
        raise PydanticCustomError(code, "{why}", {"why": str(error)}) from None
    return text


def _reference_name(value: Any) -> Any:
    """The reference calls the response stage ``response``."""
    return "on_response" if value == "response" else value


Command = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024),
    AfterValidator(_command),
    Field(
        description="Where the plugin is: `python://package.module:Class` or `file:///absolute/path`.",
        examples=["python://weir_examples.enricher:RequestEnricher"],
    ),
]
Checksum = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$"), AfterValidator(str.lower)]
HookTypeInput = Annotated[later.HookType, BeforeValidator(_reference_name)]
ServiceScope = Annotated[str, StringConstraints(max_length=128, pattern=_SCOPE_PATTERN)]


class CollectorInput(InputModel):
    """How a data_collection plugin is driven."""

    observer: bool = Field(default=False, description="It gets every event and decides about none.")
    timeout_ms: int = Field(default=10_000, ge=1, le=600_000, description="For one call.")
    max_tries: int = Field(default=3, ge=1, le=100, description="Then the event is stored as unhandled.")
    window: int = Field(default=256, ge=1, le=10_000, description="Events under way at once.")
    on_outage: OnOutage = Field(
        default="store",
        description="While its sink is away: store its events and go on, or pause their kind.",
    )
    max_lag: int = Field(
        default=1_000_000,
        ge=1,
        le=2**31 - 1,
        description="Events an observer may be behind before it goes on from the end.",
    )


class PluginInput(InputModel):
    """A plugin as an admin writes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Request enricher",
                    "slug": "request-enricher",
                    "description": "Adds the team's name to every request",
                    "command": "python://acme_plugins.enricher:RequestEnricher",
                    "hook_type": "pre_auth",
                    "config": {"team": "search"},
                }
            ]
        }
    )

    name: Name
    slug: Slug | None = None
    description: Description = ""
    command: Command
    checksum: Checksum | None = Field(
        default=None,
        description="SHA-256 of a file:// plugin's file, in hexadecimal digits. Compared with the file now, "
        "if it is here, and at every start; a file that has changed is not started.",
    )
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="Checked against the plugin's own JSON Schema and kept encrypted. What the schema calls "
        "`writeOnly` is shown as `***`.",
    )
    hook_type: HookTypeInput | None = Field(
        default=None, description="One hook type; `response` is accepted for `on_response`."
    )
    hook_types: Annotated[list[HookTypeInput], AfterValidator(all_different)] | None = Field(
        default=None,
        max_length=16,
        description="The stages it works at. Without hook_type and hook_types: all that it implements.",
    )
    plugin_type: Literal["gateway", "studio"] | None = Field(
        default=None, description="The reference's name for runtime; where given, it counts."
    )
    collector: CollectorInput = Field(default_factory=CollectorInput)
    service_scopes: list[ServiceScope] = Field(
        default_factory=list, max_length=100, description="What of the gateway's services it may use."
    )
    is_active: bool = Field(default=True, description="Your wish; only you change it.")
    runtime: later.Runtime = Field(
        default="gateway",
        description="Where it runs: at the edge, or in control (`studio`). A gateway plugin with the hook "
        "type `studio` runs in both.",
    )
    required_for_ready: bool = Field(
        default=False, description="The gateway is not ready (`GET /ready`) while this plugin is not."
    )
    namespace: Namespace = ""

    def named_hook_types(self) -> list[HookType] | None:
        """The hook types of both fields, in order; None when the admin named none."""
        named: list[HookType] = [*([self.hook_type] if self.hook_type else []), *(self.hook_types or [])]
        if not named and self.where() == "studio":
            return ["studio"]
        return list(dict.fromkeys(named)) or None

    def where(self) -> Runtime:
        """The runtime, by either of its names."""
        return self.plugin_type or self.runtime


class Collector(BaseModel):
    """How a data_collection plugin is driven."""

    observer: bool
    timeout_ms: int
    max_tries: int
    window: int
    on_outage: str
    max_lag: int = 1_000_000


class Plugin(Stored):
    """A plugin: what is wanted of it, and what it is doing."""

    name: str = Field(examples=["Request enricher"])
    slug: str = Field(examples=["request-enricher"])
    description: str
    command: str = Field(examples=["python://acme_plugins.enricher:RequestEnricher"])
    checksum: str | None
    config: dict[str, Any] | None = Field(description="Null when no encryption key at hand opens it.")
    hook_type: str | None = Field(description="The first of hook_types.", examples=["pre_auth"])
    hook_types: list[str] = Field(examples=[["pre_auth"]])
    collector: Collector
    service_scopes: list[str]
    is_active: bool
    runtime: str
    required_for_ready: bool
    namespace: str
    state: State = Field(description="What is observed, as opposed to `is_active`.")
    reason: str = Field(description="Why, where the state is not `ready`.")


class WorkerHealth(BaseModel):
    """What a plugin is doing in one process."""

    state: str = Field(examples=["ready"])
    reason: str
    restarts: int = Field(description="How often it was lost and started anew.")


class Health(BaseModel):
    """What a plugin is doing, and in which process."""

    state: str = Field(examples=["ready"])
    reason: str
    restarts: int = Field(description="In all processes together.")
    workers: dict[str, WorkerHealth] = Field(description="By worker, those that reported lately.")
