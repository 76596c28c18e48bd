-- Add API keys and the audit log.

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
CREATE INDEX audit_log_by_creation ON audit_log (created_at);
