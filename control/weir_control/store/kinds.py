"""The kinds of objects that the configuration is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Table

from weir_control.store import tables

ObjectKind = Literal["llm", "app", "credential", "plugin", "model_price", "token"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: its name in the outbox, for people and in the API, and its table."""

    name: ObjectKind
    words: str
    resource: str
    table: Table


LLM: Final = Kind("llm", "LLM", "llms", tables.llms)
APP: Final = Kind("app", "app", "apps", tables.apps)
CREDENTIAL: Final = Kind("credential", "credential", "credentials", tables.credentials)
PLUGIN: Final = Kind("plugin", "plugin", "plugins", tables.plugins)
MODEL_PRICE: Final = Kind("model_price", "model price", "model-prices", tables.model_prices)
TOKEN: Final = Kind("token", "token", "tokens", tables.tokens)
