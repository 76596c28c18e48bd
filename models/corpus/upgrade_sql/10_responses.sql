-- Add responses and conversations.

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
CREATE INDEX conversation_items_by_id ON conversation_items (tenant, item_id);
