-- Add the table of earlier versions of files. None are known.

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
CREATE INDEX file_versions_by_digest ON file_versions (digest);
