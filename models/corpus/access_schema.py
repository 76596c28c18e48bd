"""The tables of who may do what, and of who did it.

api_keys     digests of API keys, and what each may do
audit_log    what callers changed, and what they were denied; rows are only added, and deleted by age
"""

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, UniqueConstraint

from models.corpus.schema import metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("vector_store_ids", JSON(none_as_null=True)),  # NULL: all of the tenant
    Column("limits", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    PrimaryKeyConstraint("key_id"),
    UniqueConstraint("digest"),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("audit_key", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("body", JSON, nullable=False),  # actor, action, status, ids: see audit_log.py
    UniqueConstraint("tenant", "event_id"),
    Index("audit_log_by_creation", "created_at"),
    sqlite_autoincrement=True,
)
