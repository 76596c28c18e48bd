"""Who sends a request, and what they may do."""

from dataclasses import dataclass, field

from models.corpus.api_keys import ROLES, Role
from models.types.scope import DEFAULT_TENANT


@dataclass(frozen=True)
class Caller:
    """`vector_stores` None: all stores of the tenant. `actor` names the credential in the audit log, never the key.

    `readers` are the names by which documents let the caller read them, such as `group:hr`; None: all documents.
    `user` is the person whom such a token names.
    `limits` are those of the key; the configuration has the others.
    """

    tenant: str
    role: Role = "admin"
    vector_stores: frozenset[str] | None = None
    actor: str = ""
    limits: dict[str, int] = field(default_factory=dict, hash=False)
    readers: frozenset[str] | None = None
    user: str | None = None

    def has_role(self, role: Role) -> bool:
        """Whether the caller has this role or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)

    @property
    def is_limited(self) -> bool:
        """Whether the caller sees a part of the tenant's documents alone."""
        return self.vector_stores is not None or self.readers is not None


# Without access control, everybody is the default tenant with all rights.
EVERYBODY = Caller(DEFAULT_TENANT, actor="anonymous")
