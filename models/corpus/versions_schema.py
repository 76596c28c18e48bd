"""The table of a file's earlier versions.

file_versions     what a replacement took the place of, as many as are kept; a deleted file leaves none
"""

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, Integer, PrimaryKeyConstraint, Table, Text

from models.corpus.schema import metadata

file_versions = Table(
    "file_versions",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("file_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("filename", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("replaced_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "file_id", "version"),
    ForeignKeyConstraint(["tenant", "file_id"], ["files.tenant", "files.file_id"], ondelete="CASCADE"),
    Index("file_versions_by_digest", "digest"),
)
