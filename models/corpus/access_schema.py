"""The tables of who may do what, and of who did it.

api_keys     digests of API keys, and what each may do
audit_log    what callers changed, and what they were denied; rows are only added, and deleted by age
"""

from sqlalchemy import JSON, BigInteger, Column, Index, PrimaryKeyConstraint, Table, UniqueConstraint

from models.corpus.columns import key_column, metadata, text_column

api_keys = Table(
    "api_keys",
    metadata,
    text_column("key_id"),
    text_column("tenant"),
    text_column("digest"),
    text_column("name"),
    text_column("role"),
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
    key_column("audit_key"),
    text_column("tenant"),
    text_column("event_id"),
    Column("created_at", BigInteger, nullable=False),
    Column("body", JSON, nullable=False),  # actor, action, status, ids: see audit_log.py
    UniqueConstraint("tenant", "event_id"),
    Index("audit_log_by_creation", "created_at"),
    sqlite_autoincrement=True,
)
