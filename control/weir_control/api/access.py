"""Which permission each route of the management API needs, by resource and method.

The table is closed: a path that it does not name is answered as if it did not exist, whatever is routed
there, so that a new route is nobody's before somebody has decided whose it is.
"""

from __future__ import annotations

import re
from typing import Final

from weir_control.principal import API_PREFIX, Permission

_READING: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_CREATING: Final = "POST"

_Row = tuple[re.Pattern[str], Permission, Permission, Permission]


def _row(
    resource: str, read: Permission, create: Permission = Permission.CHANGE, change: Permission | None = None
) -> _Row:
    return re.compile(rf"{API_PREFIX}/(?:{resource})(?:/.*)?"), read, create, change or create


_TABLE: Final[tuple[_Row, ...]] = (
    # Who may revoke a credential learns nothing from it, and must be able to when it has leaked.
    _row("apps/[^/]+/credentials", Permission.READ, Permission.CHANGE_SECRETS, Permission.CHANGE),
    _row("llms|apps|plugins|model-prices", Permission.READ),
    _row("collectors|consumer-groups|dead-letters|edge-payloads", Permission.READ),
    _row("records|analytics|proxies", Permission.READ),
    _row("tokens", Permission.READ_TOKENS, Permission.CHANGE_TOKENS),
    _row("audit-log", Permission.READ_AUDIT_LOG, Permission.CHANGE_TOKENS),
    _row("edge", Permission.REPORT, Permission.REPORT),
)


def permission_for(method: str, path: str) -> Permission | None:
    """What a request needs; None where the table knows no such resource."""
    for pattern, read, create, change in _TABLE:
        if pattern.fullmatch(path):
            return read if method in _READING else create if method == _CREATING else change
    return None
