"""Says in the log who was turned away: guessed tokens, and changes that a role or a namespace forbids."""

from __future__ import annotations

from typing import Final

import structlog
from starlette.types import Scope

from weir_control.errors import ControlError, ForbiddenError, UnauthorizedError
from weir_control.principal import Principal

_log = structlog.get_logger("weir.control")

_REFUSALS: Final = (UnauthorizedError, ForbiddenError)


def log_refusal(scope: Scope, error: ControlError, principal: Principal | None) -> None:
    """Write a line if the request was refused for who its caller is; nothing that was sent stands in it.

    The audit log holds what was done; what was not done, and by callers nobody knows, would let anybody
    fill a table that nobody may empty.
    """
    if not isinstance(error, _REFUSALS):
        return
    who = {} if principal is None else {"token_id": principal.token_id, "role": principal.role}
    _log.warning(
        "a management request was refused",
        status=error.status,
        method=scope["method"],
        path=scope["path"],
        why=error.detail,
        request_id=scope["weir.request_id"],
        **who,
    )
