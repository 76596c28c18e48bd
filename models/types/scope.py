"""Whose documents: a tenant, and the vector stores to search. It imports nothing that takes time to load."""

from dataclasses import dataclass

DEFAULT_TENANT = "default"
CANARY_TENANT = "canary:documents"  # no keys file can name it: see serve/access/keys.py
DEFAULT_VECTOR_STORE = "default"


@dataclass(frozen=True)
class Scope:
    """The vector stores to search, of one tenant. The tenant is always an argument, never a context variable."""

    tenant: str
    vector_store_ids: tuple[str, ...]
