"""What of a plugin a caller may change who may not touch secrets.

Such a caller may not give a secret, and neither send a stored one elsewhere: another command, or another
address beside the key in a configuration, would hand it over. So a plugin that holds secrets keeps its
command and its configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weir_control.principal import Permission, Principal

_WHERE_SECRETS_GO = ("command", "checksum", "config")


def check_change(
    caller: Principal, before: Mapping[str, Any], after: Mapping[str, Any], *, holds_secrets: bool
) -> None:
    """Refuse a change of where stored secrets go.

    Raises:
        ForbiddenError: The caller may not.
    """
    changed = [name for name in _WHERE_SECRETS_GO if before[name] != after[name]]
    if holds_secrets and changed:
        caller.require(Permission.CHANGE_SECRETS, fields=changed)


def check_config(
    caller: Principal, before: dict[str, Any], after: dict[str, Any], *, has_secrets: bool, field: str
) -> None:
    """Refuse a new configuration with secrets in it.

    Raises:
        ForbiddenError: The caller may not give any.
    """
    if has_secrets and before != after:
        caller.require(Permission.CHANGE_SECRETS, fields=[field])
