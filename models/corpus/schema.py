"""The tables. Rows carry their tenant. Keys that views store are integers that are never used twice.

files ── file_texts                     uploads, and the text of each version
  │
store_files ── jobs, batch_files        a file in a vector store; it has a job while it is in_progress
  │      └── vector_stores              `seq` counts the store's changes, `log_id` names its log of changes
chunks ── vectors ── token_vectors      of the searched version of the file; one vector per generation
removed_chunks                          chunks that a view must remove
view_positions, leases                  how far a shared view (Milvus) has read the log; which replica may write to it
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

SCHEMA_VERSION = 5

metadata = MetaData()


def _key(name: str) -> Column[int]:
    """A key column whose integers are never used twice: AUTOINCREMENT on SQLite, a sequence on PostgreSQL."""
    return Column(name, BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, default=0)


def _belongs_to(table: str, *columns: str) -> ForeignKeyConstraint:
    """A foreign key: deleting the row in `table` deletes the rows that refer to it."""
    return ForeignKeyConstraint(columns, [f"{table}.{column}" for column in columns], ondelete="CASCADE")


schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

files = Table(
    "files",
    metadata,
    _key("file_key"),
    _text("tenant"),
    _text("file_id"),
    _text("filename"),
    _count("size_bytes"),
    _text("purpose"),
    _text("digest"),
    _count("created_at"),
    Column("version", Integer, nullable=False, default=1),  # each replacement adds one
    Column("expires_at", BigInteger),
    UniqueConstraint("tenant", "file_id"),
    Index("files_by_creation", "tenant", "file_key"),
    Index("files_by_digest", "digest"),
    sqlite_autoincrement=True,
)

file_texts = Table(
    "file_texts",
    metadata,
    _text("tenant"),
    _text("file_id"),
    Column("version", Integer, nullable=False),
    _text("text"),
    PrimaryKeyConstraint("tenant", "file_id", "version"),
    _belongs_to("files", "tenant", "file_id"),
)

vector_stores = Table(
    "vector_stores",
    metadata,
    _key("store_key"),
    _text("tenant"),
    _text("vector_store_id"),
    _text("name"),
    _count("created_at"),
    _count("last_active_at"),
    Column("metadata", JSON, nullable=False, default=dict),
    Column("expires_after_days", Integer),  # after last_active_at; None: the store never expires
    _count("seq"),
    _text("log_id"),  # new when the store is created or restored; views of another log start again
    _count("trimmed_seq"),  # removals up to here are deleted; a view behind it starts again
    Column("generation", Text),  # searched; None until the first file is completed
    Column("building", Text),  # the generation that will replace it
    Column("previous", Text),  # the generation before the last flip, kept for going back
    Column("flipped_at", BigInteger),
    Column("build_owner", Text),
    Column("build_lease_expires_at", Float, nullable=False, default=0.0),
    UniqueConstraint("tenant", "vector_store_id"),
    Index("vector_stores_by_creation", "tenant", "store_key"),
    sqlite_autoincrement=True,
)

store_files = Table(
    "store_files",
    metadata,
    _key("store_file_key"),
    _text("tenant"),
    _text("vector_store_id"),
    _text("file_id"),
    _text("status"),
    _count("created_at"),
    _count("usage_bytes"),
    Column("last_error_code", Text),
    Column("last_error_message", Text),
    Column("chunking_max_tokens", Integer),
    Column("chunking_overlap_tokens", Integer),
    Column("attributes", JSON, nullable=False),
    _count("attributes_seq"),  # the change that set the attributes
    _count("version"),  # of the file, as searched; 0 before the first completion
    UniqueConstraint("tenant", "vector_store_id", "file_id"),
    _belongs_to("vector_stores", "tenant", "vector_store_id"),
    _belongs_to("files", "tenant", "file_id"),
    Index("store_files_by_attributes_seq", "tenant", "vector_store_id", "attributes_seq"),
    Index("store_files_by_creation", "tenant", "vector_store_id", "store_file_key"),
    Index("store_files_by_file", "tenant", "file_id", "vector_store_id"),
    sqlite_autoincrement=True,
)

file_batches = Table(
    "file_batches",
    metadata,
    _key("batch_key"),
    _text("tenant"),
    _text("vector_store_id"),
    _text("batch_id"),
    _count("created_at"),
    Column("is_cancelled", Boolean, nullable=False, default=False),
    UniqueConstraint("tenant", "vector_store_id", "batch_id"),
    _belongs_to("vector_stores", "tenant", "vector_store_id"),
    sqlite_autoincrement=True,
)

batch_files = Table(
    "batch_files",
    metadata,
    _text("tenant"),
    _text("vector_store_id"),
    _text("batch_id"),
    _text("file_id"),
    PrimaryKeyConstraint("tenant", "vector_store_id", "batch_id", "file_id"),
    _belongs_to("file_batches", "tenant", "vector_store_id", "batch_id"),
    _belongs_to("store_files", "tenant", "vector_store_id", "file_id"),
    Index("batch_files_by_file", "tenant", "vector_store_id", "file_id"),
)

jobs = Table(
    "jobs",
    metadata,
    _key("job_id"),
    _text("tenant"),
    _text("vector_store_id"),
    _text("file_id"),
    _count("attempts"),
    Column("lease_owner", Text),
    Column("lease_expires_at", Float, nullable=False, default=0.0),  # Unix seconds; 0 for a job without a lease
    # The place in the queue: see job_queue.py. Jobs of earlier releases are small, and first.
    Column("is_large", Boolean, nullable=False, server_default=false()),
    Column("due_at", Float, nullable=False, server_default=text("0")),
    UniqueConstraint("tenant", "vector_store_id", "file_id"),
    _belongs_to("store_files", "tenant", "vector_store_id", "file_id"),
    Index("jobs_by_turn", "tenant", "vector_store_id", "is_large", "due_at", "lease_expires_at"),
    Index("jobs_by_attempts", "attempts"),
    Index("jobs_by_owner", "lease_owner"),
    sqlite_autoincrement=True,
)

chunks = Table(
    "chunks",
    metadata,
    _key("chunk_key"),
    _text("tenant"),
    _text("vector_store_id"),
    _text("file_id"),
    _count("file_key"),  # store_files.store_file_key; views identify a file by it
    _text("chunk_id"),
    _count("seq"),
    _count("start_char"),
    _count("end_char"),
    _text("context"),
    _text("text"),
    _count("num_tokens"),
    UniqueConstraint("chunk_id"),
    _belongs_to("store_files", "tenant", "vector_store_id", "file_id"),
    Index("chunks_by_file", "tenant", "vector_store_id", "file_id"),
    Index("chunks_by_seq", "tenant", "vector_store_id", "seq"),
    sqlite_autoincrement=True,
)

# `seq` is the change that added the vector. In a later generation that is after the chunk's change.
vectors = Table(
    "vectors",
    metadata,
    Column("chunk_key", BigInteger, nullable=False),
    _text("generation"),
    _text("tenant"),
    _text("vector_store_id"),
    _count("file_key"),
    _count("seq"),
    Column("vector", LargeBinary, nullable=False),  # float32, little-endian
    PrimaryKeyConstraint("chunk_key", "generation"),
    _belongs_to("chunks", "chunk_key"),
    Index("vectors_by_seq", "tenant", "vector_store_id", "generation", "seq"),
)

# A table of its own, because a chunk's token vectors take ten times as much space as its vector, and are optional. The
# index has the key, so that a page of changes is counted without reading any codes.
token_vectors = Table(
    "token_vectors",
    metadata,
    Column("chunk_key", BigInteger, nullable=False),
    _text("generation"),
    _text("tenant"),
    _text("vector_store_id"),
    _count("seq"),
    Column("codes", LargeBinary, nullable=False),  # models/index/token_codec.py
    PrimaryKeyConstraint("chunk_key", "generation"),
    _belongs_to("vectors", "chunk_key", "generation"),
    Index("token_vectors_by_seq", "tenant", "vector_store_id", "generation", "seq", "chunk_key"),
)

# `added_seq` lets a view skip chunks that were added and removed since its last read.
removed_chunks = Table(
    "removed_chunks",
    metadata,
    _text("tenant"),
    _text("vector_store_id"),
    _count("seq"),
    Column("chunk_key", BigInteger, nullable=False),
    _count("added_seq"),
    PrimaryKeyConstraint("tenant", "vector_store_id", "seq", "chunk_key"),
    _belongs_to("vector_stores", "tenant", "vector_store_id"),
)

# No foreign key to the store: after a store is deleted, its rows in Milvus must still be cleared.
view_positions = Table(
    "view_positions",
    metadata,
    _text("view"),
    _text("tenant"),
    _text("vector_store_id"),
    _text("generation"),  # empty for a view of texts
    _text("log_id"),
    _count("seq"),
    PrimaryKeyConstraint("view", "tenant", "vector_store_id", "generation"),
)

# No foreign key: a resource is a name (leases.py).
leases = Table(
    "leases",
    metadata,
    _text("resource"),
    _text("owner"),
    Column("expires_at", Float, nullable=False),  # Unix seconds
    PrimaryKeyConstraint("resource"),
)
