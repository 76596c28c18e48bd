"""The tables. Rows carry their tenant. Keys that views store are integers that are never used twice.

files ── file_texts                     uploads, and the text of each version
  │
store_files ── jobs, batch_files        a file in a vector store; it has a job while it is in_progress
  │  │   └── vector_stores              `seq` counts the store's changes, `log_id` names its log of changes
  │  └── masked_texts, sketch_bands     its text without personal data; what it shares with its near-duplicates
chunks ── vectors ── token_vectors      of the searched version of the file; one vector per generation
removed_chunks                          chunks that a view must remove
view_positions, leases                  how far a shared view (Milvus) has read the log; which replica may write to it
event_sinks ── outbox                   who gets the events, and the events that wait for delivery
conversation_schema.py                  responses and conversations, which can be continued
quality_schema.py, memory_schema.py     what users said of answers, scores to compare with; what is remembered
access_schema.py, cost_schema.py        API keys, and who did what; what each tenant used in a month
versions_schema.py                      earlier versions of files
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
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from models.corpus.columns import belongs_to, count_column, key_column, metadata, text_column

SCHEMA_VERSION = 16

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

HAS_EXPIRY = text("expires_at IS NOT NULL")  # few files have one

files = Table(
    "files",
    metadata,
    key_column("file_key"),
    text_column("tenant"),
    text_column("file_id"),
    text_column("filename"),
    count_column("size_bytes"),
    text_column("purpose"),
    text_column("digest"),
    count_column("created_at"),
    Column("version", Integer, nullable=False, default=1),  # each replacement adds one
    Column("expires_at", BigInteger),
    UniqueConstraint("tenant", "file_id"),
    Index("files_by_creation", "tenant", "file_key"),
    Index("files_by_digest", "digest"),
    Index("files_by_expiry", "expires_at", sqlite_where=HAS_EXPIRY, postgresql_where=HAS_EXPIRY),
    sqlite_autoincrement=True,
)

file_texts = Table(
    "file_texts",
    metadata,
    text_column("tenant"),
    text_column("file_id"),
    Column("version", Integer, nullable=False),
    text_column("text"),
    PrimaryKeyConstraint("tenant", "file_id", "version"),
    belongs_to("files", "tenant", "file_id"),
)

vector_stores = Table(
    "vector_stores",
    metadata,
    key_column("store_key"),
    text_column("tenant"),
    text_column("vector_store_id"),
    text_column("name"),
    count_column("created_at"),
    count_column("last_active_at"),
    Column("metadata", JSON, nullable=False, default=dict),
    Column("chunking", JSON(none_as_null=True)),  # records.Chunking, of files attached without one; None: auto
    Column("expires_after_days", Integer),  # after last_active_at; None: the store never expires
    Column("enrichment", JSON(none_as_null=True)),  # models/enrichment/options.py; None: nothing is derived
    Column("masked_kinds", JSON(none_as_null=True)),  # of personal data; None: nothing is masked
    count_column("seq"),
    text_column("log_id"),  # new when the store is created or restored; views of another log start again
    count_column("trimmed_seq"),  # removals up to here are deleted; a view behind it starts again
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
    key_column("store_file_key"),
    text_column("tenant"),
    text_column("vector_store_id"),
    text_column("file_id"),
    text_column("status"),
    count_column("created_at"),
    count_column("usage_bytes"),
    Column("last_error_code", Text),
    Column("last_error_message", Text),
    # Of a file that failed: records.FailureReason, Unix seconds, and how often it was tried.
    Column("failure_reason", Text),
    Column("failed_at", BigInteger),
    Column("failed_attempts", BigInteger, nullable=False, server_default=text("0")),
    Column("chunking_max_tokens", Integer),
    Column("chunking_overlap_tokens", Integer),
    Column("chunking_strategy", Text),  # None: static if there is a size, else auto
    Column("chunking_parameters", JSON(none_as_null=True)),
    Column("attributes", JSON, nullable=False),
    count_column("attributes_seq"),  # the change that set the attributes
    count_column("version"),  # of the file, as searched; 0 before the first completion
    # Of the searched version: parse_report.py, the attributes that its text tells, models/enrichment/sketch.py.
    Column("parse_report", JSON(none_as_null=True)),
    Column("derived", JSON(none_as_null=True)),
    Column("sketch", LargeBinary),
    UniqueConstraint("tenant", "vector_store_id", "file_id"),
    belongs_to("vector_stores", "tenant", "vector_store_id"),
    belongs_to("files", "tenant", "file_id"),
    Index("store_files_by_attributes_seq", "tenant", "vector_store_id", "attributes_seq"),
    Index("store_files_by_creation", "tenant", "vector_store_id", "store_file_key"),
    Index("store_files_by_file", "tenant", "file_id", "vector_store_id"),
    Index("store_files_by_status", "status", "tenant", "store_file_key"),
    sqlite_autoincrement=True,
)

# In place of file_texts, for a store that masks personal data. Of the searched version.
masked_texts = Table(
    "masked_texts",
    metadata,
    text_column("tenant"),
    text_column("vector_store_id"),
    text_column("file_id"),
    text_column("text"),
    PrimaryKeyConstraint("tenant", "vector_store_id", "file_id"),
    belongs_to("store_files", "tenant", "vector_store_id", "file_id"),
    Index("masked_texts_by_file", "tenant", "file_id"),
)

sketch_bands = Table(
    "sketch_bands",
    metadata,
    text_column("tenant"),
    text_column("vector_store_id"),
    Column("band", BigInteger, nullable=False),
    text_column("file_id"),
    PrimaryKeyConstraint("tenant", "vector_store_id", "band", "file_id"),
    belongs_to("store_files", "tenant", "vector_store_id", "file_id"),
    Index("sketch_bands_by_file", "tenant", "vector_store_id", "file_id"),
)

file_batches = Table(
    "file_batches",
    metadata,
    key_column("batch_key"),
    text_column("tenant"),
    text_column("vector_store_id"),
    text_column("batch_id"),
    count_column("created_at"),
    Column("is_cancelled", Boolean, nullable=False, default=False),
    UniqueConstraint("tenant", "vector_store_id", "batch_id"),
    belongs_to("vector_stores", "tenant", "vector_store_id"),
    sqlite_autoincrement=True,
)

batch_files = Table(
    "batch_files",
    metadata,
    text_column("tenant"),
    text_column("vector_store_id"),
    text_column("batch_id"),
    text_column("file_id"),
    PrimaryKeyConstraint("tenant", "vector_store_id", "batch_id", "file_id"),
    belongs_to("file_batches", "tenant", "vector_store_id", "batch_id"),
    belongs_to("store_files", "tenant", "vector_store_id", "file_id"),
    Index("batch_files_by_file", "tenant", "vector_store_id", "file_id"),
)

jobs = Table(
    "jobs",
    metadata,
    key_column("job_id"),
    text_column("tenant"),
    text_column("vector_store_id"),
    text_column("file_id"),
    count_column("attempts"),
    Column("lease_owner", Text),
    Column("lease_expires_at", Float, nullable=False, default=0.0),  # Unix seconds; 0 for a job without a lease
    # The place in the queue: see job_queue.py. Jobs of earlier releases are small, and first.
    Column("is_large", Boolean, nullable=False, server_default=false()),
    Column("due_at", Float, nullable=False, server_default=text("0")),
    Column("num_retries", BigInteger, nullable=False, server_default=text("0")),  # counted attempts and others
    Column("last_reason", Text),  # why the last attempt ended
    Column("num_chunks", BigInteger),  # None until the file is parsed
    Column("num_embedded", BigInteger, nullable=False, server_default=text("0")),
    UniqueConstraint("tenant", "vector_store_id", "file_id"),
    belongs_to("store_files", "tenant", "vector_store_id", "file_id"),
    Index("jobs_by_turn", "tenant", "vector_store_id", "is_large", "due_at", "lease_expires_at"),
    Index("jobs_by_attempts", "attempts"),
    Index("jobs_by_owner", "lease_owner"),
    sqlite_autoincrement=True,
)

chunks = Table(
    "chunks",
    metadata,
    key_column("chunk_key"),
    text_column("tenant"),
    text_column("vector_store_id"),
    text_column("file_id"),
    count_column("file_key"),  # store_files.store_file_key; views identify a file by it
    text_column("chunk_id"),
    count_column("seq"),
    count_column("start_char"),
    count_column("end_char"),
    text_column("context"),
    text_column("text"),
    count_column("num_tokens"),
    Column("shown_start", BigInteger),  # what a search shows in place of the chunk; None: the chunk itself
    Column("shown_end", BigInteger),
    Column("source_map", Text),  # models/location.py; None: the file has no places, or an earlier release read it
    UniqueConstraint("chunk_id"),
    belongs_to("store_files", "tenant", "vector_store_id", "file_id"),
    Index("chunks_by_file", "tenant", "vector_store_id", "file_id"),
    Index("chunks_by_seq", "tenant", "vector_store_id", "seq"),
    sqlite_autoincrement=True,
)

# `seq` is the change that added the vector. In a later generation that is after the chunk's change.
vectors = Table(
    "vectors",
    metadata,
    Column("chunk_key", BigInteger, nullable=False),
    text_column("generation"),
    text_column("tenant"),
    text_column("vector_store_id"),
    count_column("file_key"),
    count_column("seq"),
    Column("vector", LargeBinary, nullable=False),  # float32, little-endian
    PrimaryKeyConstraint("chunk_key", "generation"),
    belongs_to("chunks", "chunk_key"),
    Index("vectors_by_seq", "tenant", "vector_store_id", "generation", "seq"),
)

# A table of its own, because a chunk's token vectors take ten times as much space as its vector, and are optional. The
# index has the key, so that a page of changes is counted without reading any codes.
token_vectors = Table(
    "token_vectors",
    metadata,
    Column("chunk_key", BigInteger, nullable=False),
    text_column("generation"),
    text_column("tenant"),
    text_column("vector_store_id"),
    count_column("seq"),
    Column("codes", LargeBinary, nullable=False),  # models/index/token_codec.py
    PrimaryKeyConstraint("chunk_key", "generation"),
    belongs_to("vectors", "chunk_key", "generation"),
    Index("token_vectors_by_seq", "tenant", "vector_store_id", "generation", "seq", "chunk_key"),
)

# `added_seq` lets a view skip chunks that were added and removed since its last read.
removed_chunks = Table(
    "removed_chunks",
    metadata,
    text_column("tenant"),
    text_column("vector_store_id"),
    count_column("seq"),
    Column("chunk_key", BigInteger, nullable=False),
    count_column("added_seq"),
    PrimaryKeyConstraint("tenant", "vector_store_id", "seq", "chunk_key"),
    belongs_to("vector_stores", "tenant", "vector_store_id"),
)

# No foreign key to the store: after a store is deleted, its rows in Milvus must still be cleared.
view_positions = Table(
    "view_positions",
    metadata,
    text_column("view"),
    text_column("tenant"),
    text_column("vector_store_id"),
    text_column("generation"),  # empty for a view of texts
    text_column("log_id"),
    count_column("seq"),
    PrimaryKeyConstraint("view", "tenant", "vector_store_id", "generation"),
)

# No foreign key: a resource is a name (leases.py).
leases = Table(
    "leases",
    metadata,
    text_column("resource"),
    text_column("owner"),
    Column("expires_at", Float, nullable=False),  # Unix seconds
    PrimaryKeyConstraint("resource"),
)

# `source` is new with each registration, so that events of two databases never share an id.
event_sinks = Table("event_sinks", metadata, text_column("sink"), text_column("source"), PrimaryKeyConstraint("sink"))

# No foreign key to the file: its deletion is an event too.
outbox = Table(
    "outbox",
    metadata,
    key_column("event_key"),
    text_column("sink"),
    text_column("type"),
    text_column("tenant"),
    text_column("vector_store_id"),
    text_column("file_id"),
    text_column("filename"),
    count_column("version"),
    Column("reason", Text),
    Column("created_at", Float, nullable=False),  # Unix seconds
    count_column("attempts"),
    Column("due_at", Float, nullable=False),
    ForeignKeyConstraint(["sink"], ["event_sinks.sink"], ondelete="CASCADE"),
    Index("outbox_by_due", "sink", "due_at", "event_key"),
    Index("outbox_by_document", "sink", "tenant", "vector_store_id", "file_id", "event_key"),
    sqlite_autoincrement=True,
)
