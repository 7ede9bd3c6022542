"""A new plugin out of templates: one module, its test, its packaging and its README."""

from __future__ import annotations

import keyword
import re
import sys
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from weir_cli.errors import ScaffoldError

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SHEBANG: Final = "#!/usr/bin/env python3\n"
_SERVE: Final = '\n\nif __name__ == "__main__":\n    serve({class_name})\n'


class Kind(StrEnum):
    """What a new plugin does."""

    ENRICHER = "enricher"
    GUARD = "guard"
    AUTH = "auth"
    RESPONSE = "response"
    COLLECTOR = "collector"

    @property
    def hook_type(self) -> str:
        """The hook type that it is registered with."""
        return _HOOK_TYPES[self]


_HOOK_TYPES: Final = {
    Kind.ENRICHER: "post_auth",
    Kind.GUARD: "post_auth",
    Kind.AUTH: "auth",
    Kind.RESPONSE: "on_response",
    Kind.COLLECTOR: "data_collection",
}
_CONFIGS: Final = {
    Kind.ENRICHER: '{"headers": {"X-Environment": "test"}}',
    Kind.GUARD: '{"forbidden": ["secret"]}',
    Kind.AUTH: '{"tokens": {"choose-something-long": "ada"}}',
    Kind.RESPONSE: '{"notice": "Written by a machine."}',
    Kind.COLLECTOR: '{"path": "/tmp/events.jsonl"}',
}
_ATTACH: Final = """\
curl -X PUT http://127.0.0.1:3000/api/v1/llms/1/plugins -H "Authorization: Bearer $$TOKEN" -d '{
  "plugins": [{"plugin_id": 1${more}}]
}'
"""


def write_plugin(directory: Path, name: str, kind: Kind, *, process: bool) -> list[Path]:
    """Write a plugin into a new directory of its name.

    Args:
        directory: Where to make it.
        name: ``my-guard``; its module is ``my_guard``, its class ``MyGuard``.
        kind: What it does.
        process: Whether its module is also a program that ``file://`` can start.

    Returns:
        The files, in the order in which to read them.

    Raises:
        ScaffoldError: The name cannot be one, or is taken.
    """
    module = module_name(name)
    home = directory / name
    program = home / f"{module}.py"
    values = _values(name, module, kind, program.resolve() if process else None)
    texts = {
        program: _program(kind, values, process=process),
        home / f"test_{module}.py": _filled(f"test_{kind}.py", values),
        home / "event.json": _filled("event.json" if kind is Kind.COLLECTOR else "call.json", values),
        home / "README.md": _filled("README.md", values),
        home / "pyproject.toml": _filled("pyproject.toml", values),
    }
    try:
        home.mkdir(parents=True)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
        if process:
            program.chmod(0o755)
    except FileExistsError as error:
        raise ScaffoldError(f"{home} is there already; choose another name or --directory") from error
    except OSError as error:
        raise ScaffoldError(f"{home} cannot be written: {error.strerror}") from error
    return list(texts)


def module_name(name: str) -> str:
    """The module of a plugin of this name.

    Raises:
        ScaffoldError: The name cannot be one.
    """
    if _NAME.fullmatch(name) is None:
        raise ScaffoldError(
            f"{name!r} is no name for a plugin; use small letters, digits and dashes: my-guard"
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        raise ScaffoldError(f"{module} is a word or a module of Python's own; choose another name")
    return module


def _values(name: str, module: str, kind: Kind, program: Path | None) -> dict[str, str]:
    class_name = "".join(part.capitalize() for part in name.split("-"))
    attach = Template(_ATTACH).substitute(more=', "default_app_id": 1' if kind is Kind.AUTH else "")
    return {
        "name": name,
        "module": module,
        "class_name": class_name,
        "kind": kind,
        "hook_type": kind.hook_type,
        "config": _CONFIGS[kind],
        "attach": "" if kind is Kind.COLLECTOR else attach,
        "command": f"python://{module}:{class_name}" if program is None else f"file://{program}",
        "target": f"python://{module}:{class_name}" if program is None else f"./{module}.py",
    }


def _program(kind: Kind, values: dict[str, str], *, process: bool) -> str:
    text = _filled(f"{kind}.py", values)
    if not process:
        return text
    # ``serve`` sorts behind every other name that the templates import.
    imports = re.compile(r"^(from weir_sdk import )(.*)$", re.MULTILINE)
    return _SHEBANG + imports.sub(r"\1\2, serve", text, count=1) + _SERVE.format(**values)


def _filled(template: str, values: dict[str, str]) -> str:
    text = files("weir_cli.plugin").joinpath("templates", f"{template}.tmpl").read_text(encoding="utf-8")
    return Template(text).substitute(values)
