-- Add reasons of failures, progress of jobs, and the outbox of events. Earlier failures keep their error's code.

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
CREATE INDEX outbox_by_document ON outbox (sink, tenant, vector_store_id, file_id, event_key);
