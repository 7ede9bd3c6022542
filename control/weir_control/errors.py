"""What can go wrong in the management plane, each with the HTTP status it is answered with."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from weir_core.errors import WeirError


class FieldError(msgspec.Struct, frozen=True):
    """One thing that is wrong with one field.

    ``field`` is the path inside the body or the name of a query or path parameter:
    ``plugins[0].timeout_ms``. ``code`` is for programs, ``message`` for people.
    """

    field: str
    code: str
    message: str


class ControlError(WeirError):
    """The root of this room's errors; ``code`` names the problem for programs."""

    status = 500
    title = "Internal error"
    code = "internal_error"

    def __init__(self, detail: str, errors: Iterable[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)


class MalformedBodyError(ControlError):
    """The body is not JSON, or not JSON that means one thing."""

    status = 400
    title = "Malformed request body"
    code = "malformed_body"


class BodyTooLargeError(ControlError):
    """The body is over the limit of the management API."""

    status = 413
    title = "Request body too large"
    code = "body_too_large"


class UnauthorizedError(ControlError):
    """No management token, or one that is not known."""

    status = 401
    title = "Unauthorized"
    code = "unauthorized"


class ForbiddenError(ControlError):
    """The token's role does not allow the request."""

    status = 403
    title = "Forbidden"
    code = "forbidden"


class NotFoundError(ControlError):
    """No such object."""

    status = 404
    title = "Not found"
    code = "not_found"


class ConflictError(ControlError):
    """The request is well-formed but something that exists stands against it."""

    status = 409
    title = "Conflict"
    code = "conflict"


class InvalidFieldsError(ControlError):
    """Well-formed JSON with values that are wrong; ``errors`` names each field.

    ``code`` is ``not_supported_yet`` when all of them are.
    """

    status = 422
    title = "Invalid input"
    code = "invalid_input"

    def __init__(self, errors: Iterable[FieldError]) -> None:
        found = tuple(errors)
        super().__init__("; ".join(_in_words(error) for error in found), found)
        if {error.code for error in found} == {"not_supported_yet"}:
            self.code = "not_supported_yet"


class PluginCannotStartError(ControlError):
    """A change to a plugin that could not start with it; nothing was stored."""

    status = 422
    title = "Plugin cannot start"
    code = "plugin_cannot_start"


class StoreUnavailableError(ControlError):
    """The database does not answer now."""

    retryable = True
    status = 503
    title = "Store unavailable"
    code = "store_unavailable"


class LeadershipLostError(ControlError):
    """Another control process does now what only one may do."""

    retryable = True
    code = "leadership_lost"


class SchemaError(ControlError):
    """The database's tables are not those this version knows."""

    code = "unknown_schema"


def invalid(field: str, message: str, code: str = "invalid") -> InvalidFieldsError:
    """Return the error for a single wrong field."""
    return InvalidFieldsError([FieldError(field, code, message)])


def _in_words(error: FieldError) -> str:
    return f"{error.field}: {error.message}" if error.field else error.message
