from __future__ import annotations

import pytest

from weir_host.commands import FileCommand, PythonCommand, module_allowed, parse_command
from weir_host.errors import InvalidCommandError, UnsupportedCommandError


def test_a_python_command_names_a_module_and_a_class() -> None:
    assert parse_command("python://acme.billing:Meter") == PythonCommand("acme.billing", "Meter")
    assert parse_command("python://acme:Meter") == PythonCommand("acme", "Meter")


def test_a_file_command_names_a_program() -> None:
    assert parse_command("file:///opt/plugins/firewall") == FileCommand("/opt/plugins/firewall")
    assert parse_command("file:///opt/my plugins/fire wall.py") == FileCommand("/opt/my plugins/fire wall.py")


def test_a_plugin_that_runs_elsewhere_is_recognised_and_not_supported_yet() -> None:
    with pytest.raises(UnsupportedCommandError, match="not supported yet") as refusal:
        parse_command("grpc://10.0.0.5:7000")
    assert refusal.value.code == "not_supported_yet"
    assert refusal.value.field == "command"


@pytest.mark.parametrize(
    "command",
    [
        "",
        "acme.billing:Meter",
        "python://",
        "python://acme.billing",
        "python://acme.billing:",
        "python://acme..billing:Meter",
        "python://1acme:Meter",
        "python://acme:Meter.inner",
        "python://acme:Meter ",
        "python://acme/billing:Meter",
        "Python://acme:Meter",
        "http://acme:Meter",
        "/opt/plugins/firewall",
    ],
)
def test_anything_else_is_invalid_and_says_what_to_write(command: str) -> None:
    with pytest.raises(InvalidCommandError, match=r"python://package\.module:Class") as refusal:
        parse_command(command)
    assert not isinstance(refusal.value, UnsupportedCommandError)


@pytest.mark.parametrize(
    "command",
    [
        "file://",
        "file:///",
        "file://opt/plugin",
        "file://./plugin",
        "file:///opt/../etc/plugin",
        "file:///opt//plugin",
        "file:////opt/plugin",
        "file:///opt/plugin/",
        "file:///opt/./plugin",
        "file:///opt/plug\nin",
        "file:///opt/plug\0in",
    ],
)
def test_a_file_command_is_a_plain_absolute_path(command: str) -> None:
    with pytest.raises(InvalidCommandError, match=r"file:///absolute/path|characters") as refusal:
        parse_command(command)
    assert not isinstance(refusal.value, UnsupportedCommandError)


@pytest.mark.parametrize(
    ("module", "prefixes", "allowed"),
    [
        ("acme", None, True),
        ("acme", (), False),
        ("acme", ("acme",), True),
        ("acme.billing", ("acme",), True),
        ("acmespoof", ("acme",), False),
        ("acme", ("acme.billing",), False),
        ("other", ("acme", "other"), True),
    ],
)
def test_modules_are_allowed_by_prefix(module: str, prefixes: tuple[str, ...] | None, allowed: bool) -> None:
    assert module_allowed(module, prefixes) is allowed
