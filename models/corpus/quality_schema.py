"""The tables of what is known about the quality of answers: the judgements of users, and scores to compare with.

feedback            what a user said of an answer, by the id of its request
score_references    scores of earlier answers, with which later ones are compared; of all tenants
"""

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, UniqueConstraint

from models.corpus.schema import metadata

feedback = Table(
    "feedback",
    metadata,
    Column("feedback_key", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("rating", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("body", JSON, nullable=False),  # comment, query, answer, file_ids: see feedback.py
    UniqueConstraint("tenant", "request_id"),
    Index("feedback_by_creation", "created_at"),
    sqlite_autoincrement=True,
)

score_references = Table(
    "score_references",
    metadata,
    Column("reference", Text, nullable=False),
    Column("score", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("numbers", JSON, nullable=False),
    PrimaryKeyConstraint("reference", "score"),
)
