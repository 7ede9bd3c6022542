"""Who is calling, and what their role lets them do: the one place where roles have a meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, get_args

from weir_control.errors import FieldError, ForbiddenError

API_PREFIX: Final = "/api/v1"

Role = Literal["admin", "operator", "auditor", "viewer", "edge"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)


class Permission(StrEnum):
    """What a route, or a part of its answer, can need; the value completes "may not ..."."""

    READ = "read"
    READ_BODIES = "read bodies"
    READ_TOKENS = "read tokens"
    READ_AUDIT_LOG = "read the audit log"
    CHANGE = "change anything"
    CHANGE_SECRETS = "create or change secrets"
    CHANGE_TOKENS = "create or revoke tokens"
    REPORT = "report for an edge"


_HOLDERS: Final[Mapping[Permission, tuple[Role, ...]]] = {
    Permission.READ: ("admin", "operator", "auditor", "viewer"),
    Permission.READ_BODIES: ("admin", "auditor"),
    Permission.READ_TOKENS: ("admin", "auditor"),
    Permission.READ_AUDIT_LOG: ("admin", "auditor"),
    Permission.CHANGE: ("admin", "operator"),
    Permission.CHANGE_SECRETS: ("admin",),
    Permission.CHANGE_TOKENS: ("admin",),
    Permission.REPORT: ("admin", "edge"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who makes a change, as the audit log keeps it.

    ``kind`` is ``token`` (a request to this API), ``command_line`` or ``start`` (the gateway's own start);
    the latter two have no token and no role.
    """

    kind: Literal["token", "command_line", "start"]
    name: str
    token_id: int | None = None
    role: Role | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """The management token a request came with.

    ``namespaces`` None means that it is bound to none and sees everything; the name of the default namespace,
    that of objects without one, is the empty text. ``request_id`` is that of the request, None outside one.
    """

    token_id: int
    name: str
    role: Role
    namespaces: frozenset[str] | None = None
    request_id: str | None = None

    @property
    def actor(self) -> Actor:
        """The caller as the author of changes."""
        return Actor(
            kind="token",
            name=self.name,
            token_id=self.token_id,
            role=self.role,
            request_id=self.request_id,
        )

    def may(self, permission: Permission) -> bool:
        """Whether the role allows it."""
        return self.role in _HOLDERS[permission]

    def require(self, permission: Permission, fields: Sequence[str] = ()) -> None:
        """Refuse what the role does not allow.

        Args:
            fields: Those of the body that need the permission, where it is not the whole request.

        Raises:
            ForbiddenError: The message names the roles that may.
        """
        if self.may(permission):
            return
        needed = " or ".join(_HOLDERS[permission])
        raise ForbiddenError(
            f"The role {self.role} may not {permission}; this needs the role {needed}.",
            [FieldError(field, "forbidden", f"needs the role {needed}") for field in fields],
        )

    def reaches(self, namespace: str) -> bool:
        """Whether objects of this namespace exist for the caller."""
        return self.namespaces is None or namespace in self.namespaces

    @property
    def sees_bodies(self) -> bool:
        """Whether records and dead letters show this caller what was asked and answered."""
        return self.may(Permission.READ_BODIES)

    @property
    def sees_unmarked_config(self) -> bool:
        """Whether plugin configuration is shown that no schema divides into secret and harmless."""
        return self.may(Permission.CHANGE_SECRETS)
