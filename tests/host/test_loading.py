from __future__ import annotations

import sys
from pathlib import Path

import pytest

from weir_host.commands import PythonCommand
from weir_host.errors import PluginStartError
from weir_host.loading import handlers_of, load_plugin, require_handlers, served_hooks
from weir_sdk import BasePlugin, Context, ProxyLog, Request, Response


class Both(BasePlugin):
    handle_auth = None  # not a handler: it cannot be called

    async def handle_post_auth(self, ctx: Context, request: Request) -> None: ...
    async def on_before_write(self, ctx: Context, response: Response) -> None: ...
    async def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> None: ...


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "plugin_to_load.py"


def load(class_name: str = "Loaded", modules: tuple[str, ...] | None = None) -> BasePlugin:
    return load_plugin(PythonCommand("plugin_to_load", class_name), modules)


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "plugin_to_load", raising=False)


def test_a_class_is_imported_and_made(module: Path) -> None:
    module.write_text("from weir_sdk import BasePlugin\nclass Loaded(BasePlugin):\n    name = 'loaded'\n")
    assert load().name == "loaded"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import sys; sys.exit(3)", "importing plugin_to_load failed: SystemExit: 3"),
        ("1 / 0", "importing plugin_to_load failed: ZeroDivisionError"),
        ("def broken(:", "importing plugin_to_load failed: SyntaxError"),
        ("import module_that_is_not_there", "No module named 'module_that_is_not_there'"),
        ("", "has no class Loaded"),
        ("class Loaded: pass", r"derives from weir_sdk\.BasePlugin"),
        ("Loaded = 5", r"derives from weir_sdk\.BasePlugin"),
        (
            "from weir_sdk import BasePlugin\nclass Loaded(BasePlugin):\n"
            "    def __init__(self): raise OSError('no disk')",
            r"Loaded\(\) failed: OSError: no disk",
        ),
        (
            "from weir_sdk import BasePlugin\nclass Loaded(BasePlugin):\n    def __init__(self, size): pass",
            r"Loaded\(\) failed: TypeError",
        ),
    ],
)
def test_what_cannot_be_loaded_says_why(module: Path, source: str, complaint: str) -> None:
    module.write_text(source)
    with pytest.raises(PluginStartError, match=complaint):
        load()


def test_a_module_that_is_not_allowed_is_not_even_imported(module: Path) -> None:
    module.write_text("raise AssertionError('imported')")
    with pytest.raises(PluginStartError, match="not among the plugin_modules"):
        load(modules=("acme",))


def test_handlers_are_found_by_their_names() -> None:
    assert set(handlers_of(Both())) == {"handle_post_auth", "on_before_write", "handle_proxy_log"}
    assert set(handlers_of(Both(), ["post_auth"])) == {"handle_post_auth"}


def test_hooks_are_known_by_type_and_by_handler() -> None:
    assert served_hooks(handlers_of(Both(), ["post_auth", "on_response"])) == {
        "post_auth",
        "handle_post_auth",
        "on_response",
        "on_before_write",
    }


def test_a_declared_hook_type_without_a_handler_does_not_start() -> None:
    with pytest.raises(PluginStartError, match="hook type auth is declared, but Both has no handle_auth"):
        require_handlers("Both", handlers_of(Both()), ["post_auth", "auth"])


def test_one_handler_is_enough_for_a_hook_type_with_several() -> None:
    assert require_handlers("Both", handlers_of(Both()), ["on_response"]) == {"on_before_write"}
