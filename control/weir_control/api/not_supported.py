"""Every field and value whose behaviour comes with a later release, in one place.

A setting that guards something must never be stored and then ignored. So each of these is accepted as null
(or at its documented default), and anything else is 422 with the code ``not_supported_yet``. When the
behaviour comes, its line here goes and the model states the real type.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

CODE: Final = "not_supported_yet"


class _Later:
    """These values of a field come later; null means its default; any other is judged by the field's type."""

    def __init__(self, *values: str, default: str | None = None) -> None:
        self._values = values
        self._default = default

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        accepted = handler(schema)
        return accepted if self._default is None else {"anyOf": [accepted, {"type": "null"}]}

    def _check(self, value: Any, accept: ValidatorFunctionWrapHandler) -> Any:
        if value is None and self._default is not None:
            return self._default
        if isinstance(value, str) and value in self._values:
            raise PydanticCustomError(CODE, "{value} is not supported yet", {"value": value})
        return accept(value)


def _nothing_else(value: Any, accept: ValidatorFunctionWrapHandler) -> Any:
    try:
        return accept(value)
    except ValidationError:
        raise PydanticCustomError(CODE, "is not supported yet; leave it out") from None


_LATER: Final = WrapValidator(_nothing_else)
_NOTE: Final = "Not supported yet."
_EmptyList = Annotated[list[Any], Field(max_length=0)]

OnlyNull = Annotated[None, _LATER, Field(description=_NOTE)]
OnlyZero = Annotated[Literal[0] | None, _LATER, Field(description=_NOTE)]
OnlyEmptyList = Annotated[_EmptyList | None, _LATER, Field(description=_NOTE)]

# llms
Retries = OnlyZero
FallbackLlmIds = OnlyEmptyList
DefaultMaxOutputTokens = OnlyNull
AllowUnmeteredPaths = OnlyEmptyList
AllowedOverrideOrigins = OnlyEmptyList
# llms and apps
MonthlyBudget = OnlyNull
RateLimitRpm = OnlyNull
# apps
BudgetResetDay = OnlyNull
AllowedIps = OnlyEmptyList
# plugins; of its commands, ``weir_host.commands`` says which kinds come later
HookType = Annotated[
    Literal["pre_auth", "auth", "post_auth", "on_response", "data_collection", "studio"],
    _Later("custom_endpoint"),
]
Runtime = Annotated[Literal["gateway", "studio"], _Later(default="gateway")]
# model-prices
Currency = Annotated[Literal["USD"], _LATER]
