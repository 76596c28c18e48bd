"""The tables of what is remembered: of conversations and responses beside their items (schema.py), and of users.

conversation_items ── conversation_vectors      the vector of a message, made when messages are first searched
response_items ── response_vectors              the same
conversations ── conversation_summaries         what a language model wrote of the messages up to `item_id`
user_facts                                      what users said about themselves
"""

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, Integer, LargeBinary, Table, Text
from sqlalchemy import UniqueConstraint as Unique

from models.corpus.schema import metadata


def _key_of(name: str) -> Column[int]:
    """A key that another table assigns."""
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _belongs_to(table: str, key: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint([key], [f"{table}.{key}"], ondelete="CASCADE")


def _vectors(table: str, items: str, key: str) -> Table:
    """Vectors (dim,), float32, little-endian, in the space of `generation`; deleted with their items."""
    vector = Column("vector", LargeBinary, nullable=False)
    return Table(table, metadata, _key_of(key), _text("generation"), vector, _belongs_to(items, key))


conversation_vectors = _vectors("conversation_vectors", "conversation_items", "conversation_item_key")
response_vectors = _vectors("response_vectors", "response_items", "response_item_key")

conversation_summaries = Table(
    "conversation_summaries",
    metadata,
    _key_of("conversation_key"),
    _text("item_id"),  # the last message that the summary covers
    _text("text"),
    _belongs_to("conversations", "conversation_key"),
)

user_facts = Table(
    "user_facts",
    metadata,
    # A fact that is stated again gets a new key.
    Column("fact_key", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    _text("tenant"),
    _text("user_id"),
    _text("fact_id"),
    _text("text"),
    Column("stated_at", BigInteger, nullable=False),  # Unix seconds
    Column("generation", Text),  # of the vector; None: it has none yet
    Column("vector", LargeBinary),
    Unique("tenant", "user_id", "fact_id"),
    Index("user_facts_by_user", "tenant", "user_id", "fact_key"),
    Index("user_facts_by_statement", "stated_at"),
    sqlite_autoincrement=True,
)
