"""Scores of earlier answers, by the name of their reference: later scores are compared with them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from models.corpus.database import Database, lock_name
from models.corpus.quality_schema import score_references

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class ScoreReferences:
    """Keeps the numbers of one reference, which all replicas share. A new name replaces the earlier reference."""

    database: Database
    clock: Callable[[], float]

    def get(self, reference: str) -> dict[str, Numbers]:
        """The numbers by score; none before `add`."""
        table = score_references
        with self.database.reading() as connection:
            rows = connection.execute(select(table.c.score, table.c.numbers).where(table.c.reference == reference))
            return {row.score: tuple(row.numbers) for row in rows}

    def add(self, reference: str, scores: Mapping[str, Sequence[float]]) -> dict[str, Numbers]:
        """Store the numbers, unless another replica was faster. Return those that are stored."""
        table, now = score_references, int(self.clock())
        with self.database.writing() as connection:
            lock_name(connection, table.name)
            is_stored = connection.execute(select(table.c.score).where(table.c.reference == reference)).first()
            if is_stored is None:
                connection.execute(delete(table))
                rows = [{"score": score, "numbers": list(numbers)} for score, numbers in scores.items()]
                connection.execute(insert(table), [row | {"reference": reference, "created_at": now} for row in rows])
        return self.get(reference)
