-- Add the embedder's vectors of a few texts, to compare another model's with, and find expired files by an index.

CREATE TABLE embedding_references (
    generation TEXT NOT NULL,
    texts TEXT NOT NULL,
    model TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    vectors {blob} NOT NULL,
    PRIMARY KEY (generation)
);
CREATE INDEX files_by_expiry ON files (expires_at) WHERE expires_at IS NOT NULL;
