"""Upgrade the schema of an earlier release: one function per version, in the transaction that opens the database.

The SQL is written out, because schema.py changes with the next version and a step must never change.
"""

from collections.abc import Callable

from sqlalchemy import Connection, text

from models.corpus.ids import random_id

Step = Callable[[Connection], None]


def upgrade(connection: Connection, version: int) -> int:
    """Run every step from schema `version` on. Return the version reached."""
    while step := _STEPS.get(version):
        step(connection)
        version += 1
    return version


def _from_1_to_2(connection: Connection) -> None:
    """Add versions and expiry of files, file batches, filters, and a generation for each store."""
    _run(connection, _COLUMNS_OF_2)
    _run(connection, _VERSIONED_TEXTS)
    _run(connection, _TABLES_OF_2)
    _run(connection, _KEYS_OF_FILES)
    _run(connection, _LOGS)
    for store_key in connection.scalars(text("SELECT store_key FROM vector_stores")).all():
        parameters = {"log_id": random_id("log_"), "store_key": store_key}
        connection.execute(text("UPDATE vector_stores SET log_id = :log_id WHERE store_key = :store_key"), parameters)
    _run(connection, _GENERATIONS)


def _from_2_to_3(connection: Connection) -> None:
    """Add the table of leases. They were rows of view_positions, named after the view with " lease" appended.

    The old rows are deleted. A replica that has such a lease cannot renew it; its page is then applied again.
    """
    _run(connection, _LEASES)


def _from_3_to_4(connection: Connection) -> None:
    """Add the table of token vectors. Chunks of earlier releases have none until their file is ingested again."""
    _run(connection, _TOKEN_VECTORS)


def _from_4_to_5(connection: Connection) -> None:
    """Add each job's place in the queue. The jobs of earlier releases are claimed first, in their order."""
    _run(connection, _PLACES)


def _from_5_to_6(connection: Connection) -> None:
    """Add what the parser reported of a file, and where its chunks stand in it. Unknown until it is ingested again."""
    _run(connection, _REPORTS_AND_PLACES)


def _from_6_to_7(connection: Connection) -> None:
    """Add chunking strategies, and what a search shows in place of a chunk. Earlier sizes are of `static`."""
    _run(connection, _STRATEGIES)


def _from_7_to_8(connection: Connection) -> None:
    """Add reasons of failures, progress of jobs, and the outbox of events. Earlier failures keep their error's code."""
    _run(connection, _FAILURES_AND_EVENTS)


def _from_8_to_9(connection: Connection) -> None:
    """Add enrichment of files, masked texts and sketches. Stores of earlier releases ask for none."""
    _run(connection, _ENRICHMENT)


def _from_9_to_10(connection: Connection) -> None:
    """Add responses and conversations."""
    _run(connection, _RESPONSES)


def _from_10_to_11(connection: Connection) -> None:
    """Add feedback, and scores to compare with."""
    _run(connection, _QUALITY)


def _from_11_to_12(connection: Connection) -> None:
    """Add what is remembered of conversations and of users."""
    _run(connection, _MEMORY)


def _from_12_to_13(connection: Connection) -> None:
    """Add API keys and the audit log."""
    _run(connection, _ACCESS)


def _from_13_to_14(connection: Connection) -> None:
    """Add the costs of months. They begin with 0."""
    _run(connection, _MONTHLY_COSTS)


def _from_14_to_15(connection: Connection) -> None:
    """Add the table of earlier versions of files. None are known."""
    _run(connection, _FILE_VERSIONS)


def _run(connection: Connection, script: str) -> None:
    is_postgresql = connection.dialect.name == "postgresql"
    key = "BIGSERIAL PRIMARY KEY" if is_postgresql else "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT"
    script = script.replace("{key}", key).replace("{blob}", "BYTEA" if is_postgresql else "BLOB")
    for statement in script.split(";"):
        if statement.strip():
            connection.execute(text(statement))


_COLUMNS_OF_2 = """
ALTER TABLE files ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE files ADD COLUMN expires_at BIGINT;
ALTER TABLE vector_stores ADD COLUMN metadata JSON NOT NULL DEFAULT '{}';
ALTER TABLE vector_stores ADD COLUMN expires_after_days INTEGER;
ALTER TABLE vector_stores ADD COLUMN log_id TEXT NOT NULL DEFAULT '';
ALTER TABLE vector_stores ADD COLUMN trimmed_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vector_stores ADD COLUMN generation TEXT;
ALTER TABLE vector_stores ADD COLUMN building TEXT;
ALTER TABLE vector_stores ADD COLUMN previous TEXT;
ALTER TABLE vector_stores ADD COLUMN flipped_at BIGINT;
ALTER TABLE vector_stores ADD COLUMN build_owner TEXT;
ALTER TABLE vector_stores ADD COLUMN build_lease_expires_at FLOAT NOT NULL DEFAULT 0;
ALTER TABLE store_files ADD COLUMN attributes_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE store_files ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN file_key BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vectors ADD COLUMN file_key BIGINT NOT NULL DEFAULT 0;
CREATE INDEX store_files_by_attributes_seq ON store_files (tenant, vector_store_id, attributes_seq)
"""

# SQLite cannot change a primary key; PostgreSQL would keep the old one's name for a renamed table.
_VERSIONED_TEXTS = """
CREATE TABLE file_texts_of_1 AS SELECT tenant, file_id, text FROM file_texts;
DROP TABLE file_texts;
CREATE TABLE file_texts (
    tenant TEXT NOT NULL,
    file_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (tenant, file_id, version),
    FOREIGN KEY (tenant, file_id) REFERENCES files (tenant, file_id) ON DELETE CASCADE
);
INSERT INTO file_texts (tenant, file_id, version, text) SELECT tenant, file_id, 1, text FROM file_texts_of_1;
DROP TABLE file_texts_of_1
"""

_TABLES_OF_2 = """
CREATE TABLE file_batches (
    batch_key {key},
    tenant TEXT NOT NULL,
    vector_store_id TEXT NOT NULL,
    batch_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    is_cancelled BOOLEAN NOT NULL,
    UNIQUE (tenant, vector_store_id, batch_id),
    FOREIGN KEY (tenant, vector_store_id) REFERENCES vector_stores (tenant, vector_store_id) ON DELETE CASCADE
);
CREATE TABLE batch_files (
    tenant TEXT NOT NULL,
    vector_store_id TEXT NOT NULL,
    batch_id TEXT NOT NULL,
    file_id TEXT NOT NULL,
    PRIMARY KEY (tenant, vector_store_id, batch_id, file_id),
    FOREIGN KEY (tenant, vector_store_id, batch_id)
        REFERENCES file_batches (tenant, vector_store_id, batch_id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, vector_store_id, file_id)
        REFERENCES store_files (tenant, vector_store_id, file_id) ON DELETE CASCADE
);
CREATE INDEX batch_files_by_file ON batch_files (tenant, vector_store_id, file_id);
CREATE TABLE view_positions (
    view TEXT NOT NULL,
    tenant TEXT NOT NULL,
    vector_store_id TEXT NOT NULL,
    generation TEXT NOT NULL,
    log_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (view, tenant, vector_store_id, generation)
)
"""

_KEYS_OF_FILES = """
UPDATE chunks SET file_key = (
    SELECT store_file_key FROM store_files
    WHERE store_files.tenant = chunks.tenant
        AND store_files.vector_store_id = chunks.vector_store_id
        AND store_files.file_id = chunks.file_id
);
UPDATE vectors SET file_key = (SELECT file_key FROM chunks WHERE chunks.chunk_key = vectors.chunk_key)
"""

# Attributes were not in the log. One more change per store adds them all.
_LOGS = """
UPDATE vector_stores SET seq = seq + 1;
UPDATE store_files SET attributes_seq = (
    SELECT seq FROM vector_stores
    WHERE vector_stores.tenant = store_files.tenant
        AND vector_stores.vector_store_id = store_files.vector_store_id
);
UPDATE store_files SET version = 1 WHERE status = 'completed'
"""

# A store could have vectors of several generations. From now on, the largest one is searched. Files that lack vectors
# in it are ingested again; until then, keyword search finds them.
_GENERATIONS = """
UPDATE vector_stores SET generation = (
    SELECT generation FROM vectors
    WHERE vectors.tenant = vector_stores.tenant AND vectors.vector_store_id = vector_stores.vector_store_id
    GROUP BY generation ORDER BY COUNT(*) DESC, generation LIMIT 1
);
INSERT INTO jobs (tenant, vector_store_id, file_id, attempts, lease_expires_at)
SELECT tenant, vector_store_id, file_id, 0, 0 FROM store_files
WHERE status = 'completed' AND store_file_key IN (
    SELECT chunks.file_key FROM chunks
    JOIN vector_stores ON vector_stores.tenant = chunks.tenant
        AND vector_stores.vector_store_id = chunks.vector_store_id
    WHERE NOT EXISTS (
        SELECT 1 FROM vectors
        WHERE vectors.chunk_key = chunks.chunk_key AND vectors.generation = vector_stores.generation
    )
);
UPDATE store_files SET status = 'in_progress' WHERE status = 'completed' AND EXISTS (
    SELECT 1 FROM jobs
    WHERE jobs.tenant = store_files.tenant
        AND jobs.vector_store_id = store_files.vector_store_id
        AND jobs.file_id = store_files.file_id
)
"""

_LEASES = """
CREATE TABLE leases (
    resource TEXT NOT NULL,
    owner TEXT NOT NULL,
    expires_at FLOAT NOT NULL,
    PRIMARY KEY (resource)
);
DELETE FROM view_positions WHERE view LIKE '% lease'
"""

_TOKEN_VECTORS = """
CREATE TABLE token_vectors (
    chunk_key BIGINT NOT NULL,
    generation TEXT NOT NULL,
    tenant TEXT NOT NULL,
    vector_store_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    codes {blob} NOT NULL,
    PRIMARY KEY (chunk_key, generation),
    FOREIGN KEY (chunk_key, generation) REFERENCES vectors (chunk_key, generation) ON DELETE CASCADE
);
CREATE INDEX token_vectors_by_seq ON token_vectors (tenant, vector_store_id, generation, seq, chunk_key)
"""

_PLACES = """
ALTER TABLE jobs ADD COLUMN is_large BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE jobs ADD COLUMN due_at FLOAT NOT NULL DEFAULT 0;
CREATE INDEX jobs_by_turn ON jobs (tenant, vector_store_id, is_large, due_at, lease_expires_at)
"""

_REPORTS_AND_PLACES = """
ALTER TABLE store_files ADD COLUMN parse_report JSON;
ALTER TABLE chunks ADD COLUMN source_map TEXT
"""

_STRATEGIES = """
ALTER TABLE store_files ADD COLUMN chunking_strategy TEXT;
ALTER TABLE store_files ADD COLUMN chunking_parameters JSON;
ALTER TABLE vector_stores ADD COLUMN chunking JSON;
ALTER TABLE chunks ADD COLUMN shown_start BIGINT;
ALTER TABLE chunks ADD COLUMN shown_end BIGINT
"""

_FAILURES_AND_EVENTS = """
ALTER TABLE store_files ADD COLUMN failure_reason TEXT;
ALTER TABLE store_files ADD COLUMN failed_at BIGINT;
ALTER TABLE store_files ADD COLUMN failed_attempts BIGINT NOT NULL DEFAULT 0;
UPDATE store_files SET failure_reason =
    CASE last_error_code WHEN 'server_error' THEN 'internal_error' ELSE last_error_code END
    WHERE status = 'failed';
CREATE INDEX store_files_by_status ON store_files (status, tenant, store_file_key);
ALTER TABLE jobs ADD COLUMN num_retries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN last_reason TEXT;
ALTER TABLE jobs ADD COLUMN num_chunks BIGINT;
ALTER TABLE jobs ADD COLUMN num_embedded BIGINT NOT NULL DEFAULT 0;
CREATE TABLE event_sinks (sink TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY (sink));
CREATE TABLE outbox (
    event_key {key},
    sink TEXT NOT NULL,
    type TEXT NOT NULL,
    tenant TEXT NOT NULL,
    vector_store_id TEXT NOT NULL,
    file_id TEXT NOT NULL,
    filename TEXT NOT NULL,
    version BIGINT NOT NULL,
    reason TEXT,
    created_at FLOAT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at FLOAT NOT NULL,
    FOREIGN KEY (sink) REFERENCES event_sinks (sink) ON DELETE CASCADE
);
CREATE INDEX outbox_by_due ON outbox (sink, due_at, event_key);
CREATE INDEX outbox_by_document ON outbox (sink, tenant, vector_store_id, file_id, event_key)
"""

_ENRICHMENT = """
ALTER TABLE vector_stores ADD COLUMN enrichment JSON;
ALTER TABLE vector_stores ADD COLUMN masked_kinds JSON;
ALTER TABLE store_files ADD COLUMN derived JSON;
ALTER TABLE store_files ADD COLUMN sketch {blob};
CREATE TABLE masked_texts (
    tenant TEXT NOT NULL,
    vector_store_id TEXT NOT NULL,
    file_id TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (tenant, vector_store_id, file_id),
    FOREIGN KEY (tenant, vector_store_id, file_id)
        REFERENCES store_files (tenant, vector_store_id, file_id) ON DELETE CASCADE
);
CREATE INDEX masked_texts_by_file ON masked_texts (tenant, file_id);
CREATE TABLE sketch_bands (
    tenant TEXT NOT NULL,
    vector_store_id TEXT NOT NULL,
    band BIGINT NOT NULL,
    file_id TEXT NOT NULL,
    PRIMARY KEY (tenant, vector_store_id, band, file_id),
    FOREIGN KEY (tenant, vector_store_id, file_id)
        REFERENCES store_files (tenant, vector_store_id, file_id) ON DELETE CASCADE
);
CREATE INDEX sketch_bands_by_file ON sketch_bands (tenant, vector_store_id, file_id)
"""

_RESPONSES = """
CREATE TABLE responses (
    response_key {key},
    tenant TEXT NOT NULL,
    response_id TEXT NOT NULL,
    previous_response_id TEXT,
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    overdue_at BIGINT,
    body JSON NOT NULL,
    UNIQUE (tenant, response_id)
);
CREATE INDEX responses_by_creation ON responses (created_at);
CREATE TABLE response_items (
    response_item_key {key},
    tenant TEXT NOT NULL,
    response_id TEXT NOT NULL,
    item_id TEXT NOT NULL,
    is_input BOOLEAN NOT NULL,
    body JSON NOT NULL,
    FOREIGN KEY (tenant, response_id) REFERENCES responses (tenant, response_id) ON DELETE CASCADE
);
CREATE INDEX response_items_by_response ON response_items (tenant, response_id, response_item_key);
CREATE INDEX response_items_by_id ON response_items (tenant, item_id);
CREATE TABLE conversations (
    conversation_key {key},
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_active_at BIGINT NOT NULL,
    metadata JSON NOT NULL,
    UNIQUE (tenant, conversation_id)
);
CREATE INDEX conversations_by_activity ON conversations (last_active_at);
CREATE TABLE conversation_items (
    conversation_item_key {key},
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    item_id TEXT NOT NULL,
    body JSON NOT NULL,
    UNIQUE (tenant, conversation_id, item_id),
    FOREIGN KEY (tenant, conversation_id) REFERENCES conversations (tenant, conversation_id) ON DELETE CASCADE
);
CREATE INDEX conversation_items_by_conversation
    ON conversation_items (tenant, conversation_id, conversation_item_key);
CREATE INDEX conversation_items_by_id ON conversation_items (tenant, item_id)
"""

_QUALITY = """
CREATE TABLE feedback (
    feedback_key {key},
    tenant TEXT NOT NULL,
    request_id TEXT NOT NULL,
    rating TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    body JSON NOT NULL,
    UNIQUE (tenant, request_id)
);
CREATE INDEX feedback_by_creation ON feedback (created_at);
CREATE TABLE score_references (
    reference TEXT NOT NULL,
    score TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    numbers JSON NOT NULL,
    PRIMARY KEY (reference, score)
)
"""

_MEMORY = """
CREATE TABLE conversation_vectors (
    conversation_item_key BIGINT NOT NULL,
    generation TEXT NOT NULL,
    vector {blob} NOT NULL,
    PRIMARY KEY (conversation_item_key),
    FOREIGN KEY (conversation_item_key) REFERENCES conversation_items (conversation_item_key) ON DELETE CASCADE
);
CREATE TABLE response_vectors (
    response_item_key BIGINT NOT NULL,
    generation TEXT NOT NULL,
    vector {blob} NOT NULL,
    PRIMARY KEY (response_item_key),
    FOREIGN KEY (response_item_key) REFERENCES response_items (response_item_key) ON DELETE CASCADE
);
CREATE TABLE conversation_summaries (
    conversation_key BIGINT NOT NULL,
    item_id TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (conversation_key),
    FOREIGN KEY (conversation_key) REFERENCES conversations (conversation_key) ON DELETE CASCADE
);
CREATE TABLE user_facts (
    fact_key {key},
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    fact_id TEXT NOT NULL,
    text TEXT NOT NULL,
    stated_at BIGINT NOT NULL,
    generation TEXT,
    vector {blob},
    UNIQUE (tenant, user_id, fact_id)
);
CREATE INDEX user_facts_by_user ON user_facts (tenant, user_id, fact_key);
CREATE INDEX user_facts_by_statement ON user_facts (stated_at)
"""

_ACCESS = """
CREATE TABLE api_keys (
    key_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    digest TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    vector_store_ids JSON,
    limits JSON NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (key_id),
    UNIQUE (digest)
);
CREATE TABLE audit_log (
    audit_key {key},
    tenant TEXT NOT NULL,
    event_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    body JSON NOT NULL,
    UNIQUE (tenant, event_id)
);
CREATE INDEX audit_log_by_creation ON audit_log (created_at)
"""

_MONTHLY_COSTS = """
CREATE TABLE monthly_costs (
    month TEXT NOT NULL,
    tenant TEXT NOT NULL,
    cost FLOAT NOT NULL,
    PRIMARY KEY (month, tenant)
)
"""

_FILE_VERSIONS = """
CREATE TABLE file_versions (
    tenant TEXT NOT NULL,
    file_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    filename TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    digest TEXT NOT NULL,
    replaced_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, file_id, version),
    FOREIGN KEY (tenant, file_id) REFERENCES files (tenant, file_id) ON DELETE CASCADE
);
CREATE INDEX file_versions_by_digest ON file_versions (digest)
"""

_STEPS: dict[int, Step] = {
    1: _from_1_to_2,
    2: _from_2_to_3,
    3: _from_3_to_4,
    4: _from_4_to_5,
    5: _from_5_to_6,
    6: _from_6_to_7,
    7: _from_7_to_8,
    8: _from_8_to_9,
    9: _from_9_to_10,
    10: _from_10_to_11,
    11: _from_11_to_12,
    12: _from_12_to_13,
    13: _from_13_to_14,
    14: _from_14_to_15,
}
