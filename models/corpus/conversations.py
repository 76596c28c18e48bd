"""Conversations of clients: their metadata and their items, in order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, and_, delete, insert, select, update

from models.corpus.conversation_schema import conversation_items, conversations, response_items
from models.corpus.database import Database
from models.corpus.history import HistoryLimit
from models.corpus.ids import random_id
from models.corpus.memory_schema import conversation_summaries
from models.corpus.paging import fetch_page
from models.corpus.records import Page, PageRequest
from models.corpus.vector_stores import check_metadata
from models.errors.requests import InvalidRequestError, NotFoundError

Item = dict[str, Any]  # OpenAI's, with its `id`

_ROWS_A_STEP = 500
_ROWS_AT_ONCE = 8  # of a history, which may have long texts


@dataclass(frozen=True)
class Conversation:
    """A conversation, without its items. `created_at` is in Unix seconds."""

    conversation_id: str
    created_at: int
    metadata: dict[str, str]


@dataclass(frozen=True)
class Conversations:
    """Creates, changes and deletes conversations. Another tenant's one counts as not found."""

    database: Database
    clock: Callable[[], float]

    def create(self, tenant: str, metadata: dict[str, str], items: Sequence[Item]) -> Conversation:
        """Create a conversation with its first items. Raises InvalidRequestError for metadata beyond the limits."""
        check_metadata(metadata)
        now, conversation_id = int(self.clock()), random_id("conv_")
        row = {"tenant": tenant, "conversation_id": conversation_id, "metadata": metadata}
        with self.database.writing() as connection:
            connection.execute(insert(conversations).values(row | {"created_at": now, "last_active_at": now}))
            append_items(connection, tenant, conversation_id, items, now)
            return _get(connection, tenant, conversation_id)

    def get(self, tenant: str, conversation_id: str) -> Conversation:
        """Raises NotFoundError."""
        with self.database.reading() as connection:
            return _get(connection, tenant, conversation_id)

    def set_metadata(self, tenant: str, conversation_id: str, metadata: dict[str, str]) -> Conversation:
        """Raises NotFoundError, and InvalidRequestError for metadata beyond the limits."""
        check_metadata(metadata)
        with self.database.writing() as connection:
            lock_conversation(connection, tenant, conversation_id, int(self.clock()))
            statement = update(conversations).where(_is_this(tenant, conversation_id)).values(metadata=metadata)
            connection.execute(statement)
            return _get(connection, tenant, conversation_id)

    def delete(self, tenant: str, conversation_id: str) -> None:
        """Delete the conversation and its items. Responses in it stay. Raises NotFoundError."""
        with self.database.deleting() as connection:
            statement = delete(conversations).where(_is_this(tenant, conversation_id))
            if connection.execute(statement).rowcount == 0:
                raise NotFoundError("conversation", conversation_id)

    def append(self, tenant: str, conversation_id: str, items: Sequence[Item]) -> None:
        """Add items at the end. Raises NotFoundError, and InvalidRequestError for an item that it has already."""
        with self.database.writing() as connection:
            append_items(connection, tenant, conversation_id, items, int(self.clock()))

    def append_new(self, tenant: str, conversation_id: str, items: Sequence[Item]) -> None:
        """Add those items at the end that the conversation lacks. Raises NotFoundError."""
        with self.database.writing() as connection:
            append_new_items(connection, tenant, conversation_id, items, int(self.clock()))

    def page(self, tenant: str, conversation_id: str, request: PageRequest) -> Page[Item]:
        """Raises NotFoundError."""
        columns = conversation_items.c
        query = select(conversation_items).where(_is_item_of(tenant, conversation_id))
        after = select(columns.conversation_item_key).where(
            _is_item_of(tenant, conversation_id), columns.item_id == request.cursor
        )
        with self.database.reading() as connection:
            _get(connection, tenant, conversation_id)
            rows = fetch_page(connection, query, columns.conversation_item_key, request, after)
        return Page(tuple(row.body for row in rows.items), rows.has_more)

    def item(self, tenant: str, conversation_id: str, item_id: str) -> Item:
        """Raises NotFoundError."""
        is_item = and_(_is_item_of(tenant, conversation_id), conversation_items.c.item_id == item_id)
        with self.database.reading() as connection:
            _get(connection, tenant, conversation_id)
            body: Item | None = connection.scalar(select(conversation_items.c.body).where(is_item))
        if body is None:
            raise NotFoundError("item", item_id)
        return body

    def delete_item(self, tenant: str, conversation_id: str, item_id: str) -> Conversation:
        """Delete an item, and the summary that may tell of it. Raises NotFoundError."""
        is_item = and_(_is_item_of(tenant, conversation_id), conversation_items.c.item_id == item_id)
        key = select(conversations.c.conversation_key).where(_is_this(tenant, conversation_id)).scalar_subquery()
        with self.database.deleting() as connection:
            lock_conversation(connection, tenant, conversation_id, int(self.clock()))
            if connection.execute(delete(conversation_items).where(is_item)).rowcount == 0:
                raise NotFoundError("item", item_id)
            connection.execute(delete(conversation_summaries).where(conversation_summaries.c.conversation_key == key))
            return _get(connection, tenant, conversation_id)

    def history(self, tenant: str, conversation_id: str, limit: HistoryLimit) -> list[Item]:
        """The newest items, in order. Raises NotFoundError, and as HistoryLimit."""
        columns = conversation_items.c
        query = select(columns.body).where(_is_item_of(tenant, conversation_id))
        query = query.order_by(columns.conversation_item_key.desc()).limit(limit.max_items + 1)
        with self.database.reading() as connection:
            _get(connection, tenant, conversation_id)
            with connection.scalars(query.execution_options(yield_per=_ROWS_AT_ONCE)) as bodies:
                return limit.newest(bodies)

    def delete_unused(self, keep_s: float) -> int:
        """Delete the conversations that were last used `keep_s` seconds ago or earlier. Return their number."""
        is_old = conversations.c.last_active_at <= self.clock() - keep_s
        return delete_in_steps(self.database, conversations.c.conversation_key, is_old)


def append_items(connection: Connection, tenant: str, conversation_id: str, items: Sequence[Item], now: int) -> None:
    """Add items as a part of the caller's transaction. The lock on the conversation keeps their order.

    Raises NotFoundError, and InvalidRequestError for an item that the conversation has already.
    """
    lock_conversation(connection, tenant, conversation_id, now)
    new = _new_items(connection, tenant, conversation_id, items)
    if len(new) < len(items):
        name = next(item["id"] for place, item in enumerate(items) if place >= len(new) or item is not new[place])
        raise InvalidRequestError(f"the conversation has an item {name!r} already; leave its id out", "items")
    _insert(connection, tenant, conversation_id, new)


def append_new_items(
    connection: Connection, tenant: str, conversation_id: str, items: Sequence[Item], now: int
) -> None:
    """As append_items, but an item that the conversation has already stays where it is."""
    lock_conversation(connection, tenant, conversation_id, now)
    _insert(connection, tenant, conversation_id, _new_items(connection, tenant, conversation_id, items))


def _new_items(connection: Connection, tenant: str, conversation_id: str, items: Sequence[Item]) -> list[Item]:
    """The items that the conversation lacks, each once, in order."""
    by_id = {item["id"]: item for item in reversed(items)}
    present = set[str]()
    for start in range(0, len(items), _ROWS_A_STEP):
        is_named = conversation_items.c.item_id.in_([item["id"] for item in items[start : start + _ROWS_A_STEP]])
        query = select(conversation_items.c.item_id).where(_is_item_of(tenant, conversation_id), is_named)
        present |= set(connection.scalars(query))
    return [item for item in items if item["id"] not in present and by_id[item["id"]] is item]


def _insert(connection: Connection, tenant: str, conversation_id: str, items: Sequence[Item]) -> None:
    owner = {"tenant": tenant, "conversation_id": conversation_id}
    if items:
        connection.execute(
            insert(conversation_items), [owner | {"item_id": item["id"], "body": item} for item in items]
        )


def items_by_id(database: Database, tenant: str, item_ids: Sequence[str]) -> dict[str, Item]:
    """The stored items with these ids, of responses and conversations. Unknown ids are left out."""
    bodies: dict[str, Item] = {}
    with database.reading() as connection:
        for table in (conversation_items, response_items):
            query = select(table.c.item_id, table.c.body).where(table.c.tenant == tenant)
            for start in range(0, len(item_ids), _ROWS_A_STEP):
                is_named = table.c.item_id.in_(item_ids[start : start + _ROWS_A_STEP])
                bodies |= {row.item_id: row.body for row in connection.execute(query.where(is_named))}
    return bodies


def delete_in_steps(database: Database, key: Column[int], is_old: ColumnElement[bool]) -> int:
    """Delete the old rows of the key's table, a limited number in each transaction. Return their number."""
    num_deleted = 0
    while True:
        with database.reading() as connection:
            keys = list(connection.scalars(select(key).where(is_old).limit(_ROWS_A_STEP)))
        if not keys:
            return num_deleted
        with database.deleting() as connection:
            num_deleted += connection.execute(delete(key.table).where(key.in_(keys), is_old)).rowcount


def _is_this(tenant: str, conversation_id: str) -> ColumnElement[bool]:
    return and_(conversations.c.tenant == tenant, conversations.c.conversation_id == conversation_id)


def _is_item_of(tenant: str, conversation_id: str) -> ColumnElement[bool]:
    return and_(conversation_items.c.tenant == tenant, conversation_items.c.conversation_id == conversation_id)


def lock_conversation(connection: Connection, tenant: str, conversation_id: str, now: int) -> None:
    """Lock the conversation until the transaction ends, and record its use. Raises NotFoundError."""
    statement = update(conversations).where(_is_this(tenant, conversation_id)).values(last_active_at=now)
    if connection.execute(statement).rowcount == 0:
        raise NotFoundError("conversation", conversation_id)


def _get(connection: Connection, tenant: str, conversation_id: str) -> Conversation:
    row: Row[Any] | None = connection.execute(select(conversations).where(_is_this(tenant, conversation_id))).first()
    if row is None:
        raise NotFoundError("conversation", conversation_id)
    # `metadata` of a row is SQLAlchemy's own.
    return Conversation(row.conversation_id, row.created_at, row._mapping["metadata"])
