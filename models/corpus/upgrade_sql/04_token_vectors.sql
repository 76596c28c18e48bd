-- Add the table of token vectors. Chunks of earlier releases have none until their file is ingested again.

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
CREATE INDEX token_vectors_by_seq ON token_vectors (tenant, vector_store_id, generation, seq, chunk_key);
