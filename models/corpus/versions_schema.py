"""The table of a file's earlier versions.

file_versions     what a replacement took the place of, as many as are kept; a deleted file leaves none
"""

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table

from models.corpus.columns import belongs_to, metadata, text_column

file_versions = Table(
    "file_versions",
    metadata,
    text_column("tenant"),
    text_column("file_id"),
    Column("version", Integer, nullable=False),
    text_column("filename"),
    Column("size_bytes", BigInteger, nullable=False),
    text_column("digest"),
    Column("replaced_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "file_id", "version"),
    belongs_to("files", "tenant", "file_id"),
    Index("file_versions_by_digest", "digest"),
)
