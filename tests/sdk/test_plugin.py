from __future__ import annotations

import pytest

from weir_sdk import AuthHandler, BasePlugin, Context, DataCollector, PostAuthHandler, Request, inline
from weir_sdk.capabilities import HANDLERS
from weir_sdk.plugin import is_inline
from weir_sdk.testing import make_context, run


def test_a_plugin_names_itself_in_its_constructor() -> None:
    plugin = BasePlugin("custom-auth", "1.0.0", "Custom token authentication")
    assert (plugin.name, plugin.version, plugin.description) == (
        "custom-auth",
        "1.0.0",
        "Custom token authentication",
    )


def test_a_plugin_may_name_itself_in_its_class() -> None:
    class Named(BasePlugin):
        name = "named"
        version = "2.0.0"

    assert (Named().name, Named().version, Named().description) == ("named", "2.0.0", "")


def test_initialize_and_shutdown_are_optional() -> None:
    plugin = BasePlugin("p", "1")
    assert run(plugin.initialize, make_context(), {}) is None
    assert run(plugin.shutdown, make_context()) is None


def test_having_the_method_is_having_the_capability() -> None:
    class Quiet(BasePlugin):
        async def handle_post_auth(self, ctx: Context, request: Request) -> None:
            return None

    assert isinstance(Quiet(), PostAuthHandler)
    assert not isinstance(Quiet(), AuthHandler)


def test_deriving_from_an_interface_insists_on_its_methods() -> None:
    class Half(BasePlugin, DataCollector):
        pass

    with pytest.raises(TypeError, match="handle_analytics"):
        Half()  # type: ignore[abstract]


def test_every_handler_serves_one_hook_type() -> None:
    names = [name for names in HANDLERS.values() for name in names]
    assert len(names) == len(set(names))


def test_inline_marks_a_handler() -> None:
    class Quick(BasePlugin):
        @inline
        def handle_pre_auth(self, ctx: Context, request: Request) -> None:
            return None

        def handle_post_auth(self, ctx: Context, request: Request) -> None:
            return None

    assert is_inline(Quick().handle_pre_auth)
    assert not is_inline(Quick().handle_post_auth)
