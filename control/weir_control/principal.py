"""Who is calling, as far as the management API needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

API_PREFIX: Final = "/api/v1"
_READS: Final = frozenset(("GET", "HEAD", "OPTIONS"))


@dataclass(frozen=True, slots=True)
class Principal:
    """The management token a request came with."""

    token_id: int
    name: str
    role: str

    @property
    def sees_bodies(self) -> bool:
        """Whether records show this caller what was asked and answered."""
        return self.role == "admin"

    @property
    def sees_unmarked_config(self) -> bool:
        """Whether plugin configuration is shown that no schema divides into secret and harmless."""
        return self.role == "admin"

    def refusal(self, method: str, path: str) -> str | None:
        """Why the role does not allow the request; None when it does."""
        if self.role == "admin":
            return None
        if path.startswith(f"{API_PREFIX}/tokens"):
            return f"The role {self.role} may not see or change tokens."
        if method not in _READS:
            return f"The role {self.role} may read only."
        return None
