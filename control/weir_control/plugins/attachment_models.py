"""An LLM's plugins in requests and in answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from weir_control.api.envelopes import MAX_LIMIT
from weir_control.api.fields import Id, InputModel
from weir_core.objects import StreamMode

HeaderPattern = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
]


class AttachmentInput(InputModel):
    """One plugin of an LLM and how it is called."""

    plugin_id: Id
    timeout_ms: int = Field(default=1000, ge=1, le=600_000, description="For all its hooks in one request.")
    on_error: Literal["fail_closed", "fail_open"] | None = Field(
        default=None,
        description="What a failure of the plugin means for the request. Null is the stage's default: "
        "`fail_closed` for pre_auth, auth and post_auth, `fail_open` for on_response.",
    )
    stream_mode: StreamMode = Field(
        default="chunks",
        description="How on_response sees a stream: event by event (`chunks`), whole before any of it is "
        "sent (`buffer`), or not at all (`off`).",
    )
    default_app_id: Id | None = Field(
        default=None, description="The app of a caller whom an auth plugin lets in without naming one."
    )
    response_headers: list[HeaderPattern] = Field(
        default_factory=lambda: ["X-RateLimit-*"],
        max_length=50,
        description="Headers the plugin may put on an answer; `*` stands for anything.",
    )
    config_override: dict[str, Any] | None = Field(
        default=None,
        description="Takes the place of these members of the plugin's `config`, at this LLM only: it gets an "
        "instance of its own. Secrets in it are hidden as in `config`.",
    )


class AttachmentsInput(InputModel):
    """The whole list, in order of execution: either ids alone or each with its options."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"plugin_ids": [1, 2, 3]},
                {"plugins": [{"plugin_id": 1, "timeout_ms": 200, "on_error": "fail_closed"}]},
            ],
            "oneOf": [{"required": ["plugin_ids"]}, {"required": ["plugins"]}],
        }
    )

    plugin_ids: list[Id] | None = Field(default=None, max_length=MAX_LIMIT)
    plugins: list[AttachmentInput] | None = Field(default=None, max_length=MAX_LIMIT)


class Attachment(BaseModel):
    """One plugin of an LLM."""

    plugin_id: int = Field(examples=[1])
    timeout_ms: int = Field(examples=[1000])
    on_error: str | None
    stream_mode: str
    default_app_id: int | None
    response_headers: list[str]
    config_override: dict[str, Any] | None = Field(
        description="Null when no encryption key at hand opens it; `{}` when there is none."
    )
