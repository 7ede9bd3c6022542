"""Who is calling, and what their role lets them do: the one place where roles have a meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, get_args

from weir_control.errors import ForbiddenError

API_PREFIX: Final = "/api/v1"

Role = Literal["admin", "operator", "auditor", "viewer"]
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


_HOLDERS: Final[Mapping[Permission, tuple[Role, ...]]] = {
    Permission.READ: ("admin", "operator", "auditor", "viewer"),
    Permission.READ_BODIES: ("admin", "auditor"),
    Permission.READ_TOKENS: ("admin", "auditor"),
    Permission.READ_AUDIT_LOG: ("admin", "auditor"),
    Permission.CHANGE: ("admin", "operator"),
    Permission.CHANGE_SECRETS: ("admin",),
    Permission.CHANGE_TOKENS: ("admin",),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """The management token a request came with.

    ``namespaces`` None means that it is bound to none and sees everything; the name of the default namespace,
    that of objects without one, is the empty text.
    """

    token_id: int
    name: str
    role: Role
    namespaces: frozenset[str] | None = None

    def may(self, permission: Permission) -> bool:
        """Whether the role allows it."""
        return self.role in _HOLDERS[permission]

    def require(self, permission: Permission) -> None:
        """Refuse what the role does not allow.

        Raises:
            ForbiddenError: The message names the roles that may.
        """
        if not self.may(permission):
            needed = " or ".join(_HOLDERS[permission])
            raise ForbiddenError(f"The role {self.role} may not {permission}; this needs the role {needed}.")

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
