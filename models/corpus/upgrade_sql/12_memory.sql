-- Add what is remembered of conversations and of users.

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
CREATE INDEX user_facts_by_statement ON user_facts (stated_at);
