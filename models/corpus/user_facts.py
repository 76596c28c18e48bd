"""What users said about themselves, in their own words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, update

from models.corpus.conversations import delete_in_steps
from models.corpus.database import Database, is_storable, lock_name
from models.corpus.ids import stable_id
from models.corpus.memory_schema import user_facts
from models.corpus.paging import fetch_page
from models.corpus.records import Page, PageRequest
from models.errors.requests import NotFoundError
from models.types.arrays import FloatArray

MAX_FACTS = 200  # of a user; the one that was stated longest ago goes first


@dataclass(frozen=True)
class UserFact:
    """A sentence of a user. `stated_at` is in Unix seconds. `vector` (dim,): None if it has none in the space."""

    fact_id: str
    text: str
    stated_at: int
    vector: FloatArray | None = None


@dataclass(frozen=True)
class UserFacts:
    """Keeps the facts of each user of a tenant. Another tenant's or user's fact counts as not found."""

    database: Database
    clock: Callable[[], float]

    def add(self, tenant: str, user_id: str, texts: Sequence[str]) -> None:
        """Keep what was stated. An equal text is kept once, with the later date. Blocks."""
        rows = [self._row(tenant, user_id, text) for text in dict.fromkeys(texts) if is_storable(text)]
        if not rows:
            return
        with self.database.writing() as connection:
            lock_name(connection, f"facts {tenant} {user_id}")
            is_repeated = user_facts.c.fact_id.in_([row["fact_id"] for row in rows])
            connection.execute(delete(user_facts).where(_is_of(tenant, user_id), is_repeated))
            connection.execute(insert(user_facts), rows)
            _delete_beyond(connection, tenant, user_id)

    def page(self, tenant: str, user_id: str, request: PageRequest) -> Page[UserFact]:
        """A page of the user's facts, in the order in which they were last stated."""
        is_of = _is_of(tenant, user_id)
        after = select(user_facts.c.fact_key).where(is_of, user_facts.c.fact_id == request.cursor)
        with self.database.reading() as connection:
            rows = fetch_page(connection, select(user_facts).where(is_of), user_facts.c.fact_key, request, after)
        return Page(tuple(_to_fact(row, "") for row in rows.items), rows.has_more)

    def of_user(self, tenant: str, user_id: str, generation: str) -> list[UserFact]:
        """All facts, the newest last, with their vectors in the space of `generation`. Blocks."""
        query = select(user_facts).where(_is_of(tenant, user_id)).order_by(user_facts.c.fact_key)
        with self.database.reading() as connection:
            return [_to_fact(row, generation) for row in connection.execute(query)]

    def save_vectors(self, tenant: str, user_id: str, generation: str, new: Mapping[str, FloatArray]) -> None:
        """Keep vectors by the id of their fact. Blocks."""
        with self.database.writing() as connection:
            for fact_id, vector in new.items():
                values = {"generation": generation, "vector": vector.astype("<f4").tobytes()}
                is_this = and_(_is_of(tenant, user_id), user_facts.c.fact_id == fact_id)
                connection.execute(update(user_facts).where(is_this).values(values))

    def delete(self, tenant: str, user_id: str, fact_id: str) -> None:
        """Raises NotFoundError."""
        is_this = and_(_is_of(tenant, user_id), user_facts.c.fact_id == fact_id)
        with self.database.deleting() as connection:
            if connection.execute(delete(user_facts).where(is_this)).rowcount == 0:
                raise NotFoundError("fact", fact_id)

    def delete_all(self, tenant: str, user_id: str) -> int:
        """Delete all facts of the user. Return their number."""
        with self.database.deleting() as connection:
            return connection.execute(delete(user_facts).where(_is_of(tenant, user_id))).rowcount

    def delete_older(self, keep_s: float) -> int:
        """Delete the facts that were last stated `keep_s` seconds ago or earlier. Return their number."""
        is_old = user_facts.c.stated_at <= self.clock() - keep_s
        return delete_in_steps(self.database, user_facts.c.fact_key, is_old)

    def _row(self, tenant: str, user_id: str, text: str) -> dict[str, Any]:
        fact_id = stable_id("fact_", tenant, user_id, text)
        owner = {"tenant": tenant, "user_id": user_id}
        return owner | {"fact_id": fact_id, "text": text, "stated_at": int(self.clock())}


def _is_of(tenant: str, user_id: str) -> ColumnElement[bool]:
    return and_(user_facts.c.tenant == tenant, user_facts.c.user_id == user_id)


def _delete_beyond(connection: Connection, tenant: str, user_id: str) -> None:
    keys = select(user_facts.c.fact_key).where(_is_of(tenant, user_id)).order_by(user_facts.c.fact_key.desc())
    oldest = connection.scalars(keys.offset(MAX_FACTS)).all()
    if oldest:
        connection.execute(delete(user_facts).where(user_facts.c.fact_key.in_(oldest)))


def _to_fact(row: Row[Any], generation: str) -> UserFact:
    has_vector = row.vector is not None and row.generation == generation
    vector = np.frombuffer(row.vector, "<f4") if has_vector else None
    return UserFact(row.fact_id, row.text, row.stated_at, vector)
