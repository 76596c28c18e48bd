-- Add versions and expiry of files, file batches, filters, and a generation for each store.

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
CREATE INDEX store_files_by_attributes_seq ON store_files (tenant, vector_store_id, attributes_seq);

-- SQLite cannot change a primary key; PostgreSQL would keep the old one's name for a renamed table.
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
DROP TABLE file_texts_of_1;

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
);

UPDATE chunks SET file_key = (
    SELECT store_file_key FROM store_files
    WHERE store_files.tenant = chunks.tenant
        AND store_files.vector_store_id = chunks.vector_store_id
        AND store_files.file_id = chunks.file_id
);
UPDATE vectors SET file_key = (SELECT file_key FROM chunks WHERE chunks.chunk_key = vectors.chunk_key);

-- Attributes were not in the log. One more change per store adds them all.
UPDATE vector_stores SET seq = seq + 1;
UPDATE store_files SET attributes_seq = (
    SELECT seq FROM vector_stores
    WHERE vector_stores.tenant = store_files.tenant
        AND vector_stores.vector_store_id = store_files.vector_store_id
);
UPDATE store_files SET version = 1 WHERE status = 'completed';

-- A store could have vectors of several generations. From now on, the largest one is searched. Files that lack vectors
-- in it are ingested again; until then, keyword search finds them.
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
);
