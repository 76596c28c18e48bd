"""The tables of what can be continued.

responses ── response_items             what was asked, and what was answered
conversations ── conversation_items     conversations of clients; a response in one has its items there as well
"""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Table, Text, UniqueConstraint

from models.corpus.columns import belongs_to, count_column, key_column, metadata, text_column

# `body` is the response without its output. `previous_response_id` may name a deleted response: then the conversation
# begins after it.
responses = Table(
    "responses",
    metadata,
    key_column("response_key"),
    text_column("tenant"),
    text_column("response_id"),
    Column("previous_response_id", Text),
    text_column("status"),
    count_column("created_at"),
    Column("overdue_at", BigInteger),  # a response in the background that has not ended by then never will
    Column("body", JSON, nullable=False),
    UniqueConstraint("tenant", "response_id"),
    Index("responses_by_creation", "created_at"),
    sqlite_autoincrement=True,
)

response_items = Table(
    "response_items",
    metadata,
    key_column("response_item_key"),
    text_column("tenant"),
    text_column("response_id"),
    text_column("item_id"),
    Column("is_input", Boolean, nullable=False),
    Column("body", JSON, nullable=False),
    belongs_to("responses", "tenant", "response_id"),
    Index("response_items_by_response", "tenant", "response_id", "response_item_key"),
    Index("response_items_by_id", "tenant", "item_id"),
    sqlite_autoincrement=True,
)

conversations = Table(
    "conversations",
    metadata,
    key_column("conversation_key"),
    text_column("tenant"),
    text_column("conversation_id"),
    count_column("created_at"),
    count_column("last_active_at"),
    Column("metadata", JSON, nullable=False, default=dict),
    UniqueConstraint("tenant", "conversation_id"),
    Index("conversations_by_activity", "last_active_at"),
    sqlite_autoincrement=True,
)

conversation_items = Table(
    "conversation_items",
    metadata,
    key_column("conversation_item_key"),
    text_column("tenant"),
    text_column("conversation_id"),
    text_column("item_id"),
    Column("body", JSON, nullable=False),
    UniqueConstraint("tenant", "conversation_id", "item_id"),
    belongs_to("conversations", "tenant", "conversation_id"),
    Index("conversation_items_by_conversation", "tenant", "conversation_id", "conversation_item_key"),
    Index("conversation_items_by_id", "tenant", "item_id"),
    sqlite_autoincrement=True,
)
