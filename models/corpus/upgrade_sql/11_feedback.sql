-- Add feedback, and scores to compare with.

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
);
