"""The vectors of earlier messages, so that what left a conversation's window is found again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sqlalchemy import Select, select

from models.corpus.conversation_schema import conversation_items, response_items
from models.corpus.database import Database, insert_for
from models.corpus.memory_schema import conversation_vectors, response_vectors
from models.corpus.responses import chain_of
from models.types.arrays import FloatArray


@dataclass(frozen=True)
class TurnSource:
    """Whose messages: those of a conversation, or of a response and those that it continues."""

    kind: Literal["conversation", "response"]
    source_id: str


@dataclass(frozen=True)
class TurnVectors:
    """Keeps a vector a message. It is deleted with its message, and replaced for another generation."""

    database: Database

    def load(self, tenant: str, source: TurnSource, generation: str) -> dict[str, FloatArray]:
        """The vectors (dim,) in the space of `generation`, by the id of the message. Blocks."""
        items, vectors = _items(tenant, source), _vectors(source)
        key = vectors.primary_key.columns[0]
        query = items.add_columns(vectors.c.vector).join(vectors, key == items.selected_columns[1])
        with self.database.reading() as connection:
            rows = connection.execute(query.where(vectors.c.generation == generation)).all()
        return {row[0]: np.frombuffer(row[2], "<f4") for row in rows}

    def save(self, tenant: str, source: TurnSource, generation: str, new: Mapping[str, FloatArray]) -> None:
        """Keep vectors by the id of their message. Those of deleted messages are left out. Blocks."""
        table = _vectors(source)
        key = table.primary_key.columns[0]
        items = _items(tenant, source).with_for_update(read=True, key_share=True, of=key_table(source))
        with self.database.writing() as connection:
            # The lock keeps the messages until the vectors are stored; SQLite has a single writer anyway.
            keys = {row[0]: row[1] for row in connection.execute(items)}
            rows = [
                {key.name: keys[item_id], "generation": generation, "vector": vector.astype("<f4").tobytes()}
                for item_id, vector in new.items()
                if item_id in keys
            ]
            if rows:
                statement = insert_for(connection, table)
                changes = {name: statement.excluded[name] for name in ("generation", "vector")}
                connection.execute(statement.on_conflict_do_update(index_elements=[key], set_=changes), rows)


def key_table(source: TurnSource) -> Any:
    return conversation_items if source.kind == "conversation" else response_items


def _vectors(source: TurnSource) -> Any:
    return conversation_vectors if source.kind == "conversation" else response_vectors


def _items(tenant: str, source: TurnSource) -> Select[Any]:
    """The ids and the keys of the messages."""
    if source.kind == "conversation":
        columns = conversation_items.c
        query = select(columns.item_id, columns.conversation_item_key)
        return query.where(columns.tenant == tenant, columns.conversation_id == source.source_id)
    chain = chain_of(tenant, source.source_id)
    query = select(response_items.c.item_id, response_items.c.response_item_key)
    return query.join(chain, response_items.c.response_id == chain.c.response_id).where(
        response_items.c.tenant == tenant
    )
