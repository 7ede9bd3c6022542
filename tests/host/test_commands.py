from __future__ import annotations

import pytest

from weir_host.commands import PythonCommand, module_allowed, parse_command
from weir_host.errors import InvalidCommandError, UnsupportedCommandError


def test_a_python_command_names_a_module_and_a_class() -> None:
    assert parse_command("python://acme.billing:Meter") == PythonCommand("acme.billing", "Meter")
    assert parse_command("python://acme:Meter") == PythonCommand("acme", "Meter")


@pytest.mark.parametrize("command", ["file:///opt/plugins/firewall", "grpc://10.0.0.5:7000"])
def test_other_kinds_are_recognised_and_not_supported_yet(command: str) -> None:
    with pytest.raises(UnsupportedCommandError, match="not supported yet") as refusal:
        parse_command(command)
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
