"""The tables of what is known about the quality of answers: the judgements of users, and what to compare with.

feedback                what a user said of an answer, by the id of its request
score_references        scores of earlier answers, with which later ones are compared; of all tenants
embedding_references    the embedder's vectors of a few fixed texts, with which another model's are compared
"""

from sqlalchemy import JSON, BigInteger, Column, Index, LargeBinary, PrimaryKeyConstraint, Table, UniqueConstraint

from models.corpus.columns import key_column, metadata, text_column

feedback = Table(
    "feedback",
    metadata,
    key_column("feedback_key"),
    text_column("tenant"),
    text_column("request_id"),
    text_column("rating"),
    Column("created_at", BigInteger, nullable=False),
    Column("body", JSON, nullable=False),  # comment, query, answer, file_ids: see feedback.py
    UniqueConstraint("tenant", "request_id"),
    Index("feedback_by_creation", "created_at"),
    sqlite_autoincrement=True,
)

score_references = Table(
    "score_references",
    metadata,
    text_column("reference"),
    text_column("score"),
    Column("created_at", BigInteger, nullable=False),
    Column("numbers", JSON, nullable=False),
    PrimaryKeyConstraint("reference", "score"),
)

embedding_references = Table(
    "embedding_references",
    metadata,
    text_column("generation"),
    text_column("texts"),
    text_column("model"),
    Column("created_at", BigInteger, nullable=False),
    Column("vectors", LargeBinary, nullable=False),  # see embedding_references.py
    PrimaryKeyConstraint("generation"),
)
