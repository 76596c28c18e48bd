"""The embedder's vectors of a few fixed texts: another model's are compared with them while the embedder is away."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import delete, select

from models.corpus.database import Database, insert_for, lock_name
from models.corpus.quality_schema import embedding_references
from models.types.stage_results import Embeddings

MAX_GENERATIONS = 2  # the configured model's, and the one before it, which vector stores may still be searched in


@dataclass(frozen=True)
class EmbeddingReferences:
    """Keeps the vectors of the last generations, which all replicas share."""

    database: Database
    clock: Callable[[], float]

    def get(self, texts: str) -> dict[str, list[Embeddings]]:
        """The vectors of each text, by generation, the newest last. `texts` names the texts and their order."""
        table = embedding_references
        query = select(table).where(table.c.texts == texts).order_by(table.c.created_at, table.c.generation)
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        return {row.generation: _decode(row.generation, row.model, row.vectors) for row in rows}

    def put(self, texts: str, embeddings: Sequence[Embeddings]) -> None:
        """Store the vectors of one generation, at least of one text. Those of the oldest generations are deleted."""
        table, first = embedding_references, embeddings[0]
        values = {"texts": texts, "model": first.model, "created_at": int(self.clock()), "vectors": _encode(embeddings)}
        newest = select(table.c.generation).where(table.c.generation != first.generation)
        newest = newest.order_by(table.c.created_at.desc(), table.c.generation).limit(MAX_GENERATIONS - 1)
        with self.database.writing() as connection:
            lock_name(connection, table.name)
            generations = [first.generation, *connection.scalars(newest)]
            connection.execute(delete(table).where(table.c.generation.not_in(generations)))
            statement = insert_for(connection, table).values(generation=first.generation, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=[table.c.generation], set_=values))


def _encode(embeddings: Sequence[Embeddings]) -> bytes:
    """An npz file: `vectors0`, of the first text, and `tokens0`, if it has token vectors; `vectors1`, …"""
    arrays: dict[str, Any] = {}
    for number, each in enumerate(embeddings):
        arrays[f"vectors{number}"] = each.vectors
        if each.query_tokens is not None:
            arrays[f"tokens{number}"] = each.query_tokens
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _decode(generation: str, model: str, content: bytes) -> list[Embeddings]:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        numbers = range(sum(name.startswith("vectors") for name in arrays))
        return [
            Embeddings(arrays[f"vectors{number}"], generation, model, query_tokens=arrays.get(f"tokens{number}"))
            for number in numbers
        ]
