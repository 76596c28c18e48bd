"""What the tables of all schema modules are made with."""

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Integer, MetaData, Text

metadata = MetaData()


def key_column(name: str) -> Column[int]:
    """A key column whose integers are never used twice: AUTOINCREMENT on SQLite, a sequence on PostgreSQL."""
    return Column(name, BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


def text_column(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def count_column(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, default=0)


def belongs_to(table: str, *columns: str) -> ForeignKeyConstraint:
    """A foreign key: deleting the row in `table` deletes the rows that refer to it."""
    return ForeignKeyConstraint(columns, [f"{table}.{column}" for column in columns], ondelete="CASCADE")
