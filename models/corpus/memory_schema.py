"""The tables of what is remembered: of conversations and responses (conversation_schema.py), and of users.

conversation_items ── conversation_vectors      the vector of a message, made when messages are first searched
response_items ── response_vectors              the same
conversations ── conversation_summaries         what a language model wrote of the messages up to `item_id`
user_facts                                      what users said about themselves
"""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text
from sqlalchemy import UniqueConstraint as Unique

from models.corpus.columns import belongs_to, key_column, metadata, text_column


def _key_of(name: str) -> Column[int]:
    """A key that another table assigns."""
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


def _vectors(table: str, items: str, key: str) -> Table:
    """Vectors (dim,), float32, little-endian, in the space of `generation`; deleted with their items."""
    vector = Column("vector", LargeBinary, nullable=False)
    return Table(table, metadata, _key_of(key), text_column("generation"), vector, belongs_to(items, key))


conversation_vectors = _vectors("conversation_vectors", "conversation_items", "conversation_item_key")
response_vectors = _vectors("response_vectors", "response_items", "response_item_key")

conversation_summaries = Table(
    "conversation_summaries",
    metadata,
    _key_of("conversation_key"),
    text_column("item_id"),  # the last message that the summary covers
    text_column("text"),
    belongs_to("conversations", "conversation_key"),
)

user_facts = Table(
    "user_facts",
    metadata,
    # A fact that is stated again gets a new key.
    key_column("fact_key"),
    text_column("tenant"),
    text_column("user_id"),
    text_column("fact_id"),
    text_column("text"),
    Column("stated_at", BigInteger, nullable=False),  # Unix seconds
    Column("generation", Text),  # of the vector; None: it has none yet
    Column("vector", LargeBinary),
    Unique("tenant", "user_id", "fact_id"),
    Index("user_facts_by_user", "tenant", "user_id", "fact_key"),
    Index("user_facts_by_statement", "stated_at"),
    sqlite_autoincrement=True,
)
