"""Responses of the Responses API: what was asked and answered, so that it can be read and continued."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, literal, select, tuple_, update

from models.corpus.conversation_schema import response_items, responses
from models.corpus.conversations import Item, append_new_items, delete_in_steps, items_by_id, lock_conversation
from models.corpus.database import Database
from models.corpus.history import HistoryLimit
from models.corpus.paging import fetch_page
from models.corpus.records import Page, PageRequest
from models.errors.requests import ConflictError, NotFoundError

ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]

_RESPONSES_A_STEP = 8
MAX_CHAIN = 1_000  # responses that a response continues; earlier ones are left out


@dataclass(frozen=True)
class StoredResponse:
    """A response. `body` is OpenAI's object without its output, `output` has the items that were answered.

    `overdue_at`, in Unix seconds: a response in the background that has not ended by then never will.
    """

    response_id: str
    status: ResponseStatus
    created_at: int
    body: dict[str, Any]
    output: tuple[Item, ...] = ()
    previous_response_id: str | None = None
    overdue_at: int | None = None


@dataclass(frozen=True)
class Responses:
    """Stores and deletes responses. Another tenant's response counts as not found."""

    database: Database
    clock: Callable[[], float]

    def add(
        self, tenant: str, response: StoredResponse, inputs: Sequence[Item], conversation_id: str | None = None
    ) -> None:
        """Store a response with its input. An ended one is added to its conversation in the same transaction.

        Raises NotFoundError for a conversation that was deleted meanwhile.
        """
        row = {name: getattr(response, name) for name in ("response_id", "status", "created_at", "body")}
        row |= {"previous_response_id": response.previous_response_id, "overdue_at": response.overdue_at}
        with self.database.writing() as connection:
            if conversation_id is not None and response.status != "in_progress":
                append_new_items(connection, tenant, conversation_id, [*inputs, *response.output], int(self.clock()))
            connection.execute(insert(responses).values(row | {"tenant": tenant}))
            _insert_items(connection, tenant, response.response_id, inputs, is_input=True)
            _insert_items(connection, tenant, response.response_id, response.output, is_input=False)

    def finish(self, tenant: str, response: StoredResponse, conversation_id: str | None = None) -> bool:
        """End a response in progress. False, and no change, if it was cancelled or deleted meanwhile."""
        is_running = and_(_is_this(tenant, response.response_id), responses.c.status == "in_progress")
        values = {"status": response.status, "body": response.body, "overdue_at": None}
        with self.database.writing() as connection:
            if conversation_id is not None:
                lock_conversation(connection, tenant, conversation_id, int(self.clock()))
            if connection.execute(update(responses).where(is_running).values(values)).rowcount == 0:
                return False
            _insert_items(connection, tenant, response.response_id, response.output, is_input=False)
            if conversation_id is not None:
                items = [row.body for row in connection.execute(_items(tenant, response.response_id))]
                append_new_items(connection, tenant, conversation_id, items, int(self.clock()))
            return True

    def cancel(self, tenant: str, response_id: str) -> StoredResponse:
        """Cancel a response in progress; one that has ended stays as it is. Raises NotFoundError."""
        is_running = and_(_is_this(tenant, response_id), responses.c.status == "in_progress")
        with self.database.writing() as connection:
            values = {"status": "cancelled", "overdue_at": None}
            connection.execute(update(responses).where(is_running).values(values))
            return _get(connection, tenant, response_id)

    def stored_under(self, tenant: str) -> str:
        """The tenant of the rows: of a caller with less than all rights, a part of the tenant (limited_view.py)."""
        return tenant

    def unfinished(self, keys: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these tenants' responses that are in progress."""
        names = (responses.c.tenant, responses.c.response_id)
        query = select(*names).where(tuple_(*names).in_(keys), responses.c.status == "in_progress")
        with self.database.reading() as connection:
            return {(row.tenant, row.response_id) for row in connection.execute(query)}

    def get(self, tenant: str, response_id: str) -> StoredResponse:
        """Raises NotFoundError."""
        with self.database.reading() as connection:
            return _get(connection, tenant, response_id)

    def delete(self, tenant: str, response_id: str) -> None:
        """Delete a response. Those that continue it lose its part of their conversation. Raises NotFoundError."""
        with self.database.deleting() as connection:
            if connection.execute(delete(responses).where(_is_this(tenant, response_id))).rowcount == 0:
                raise NotFoundError("response", response_id)

    def inputs(self, tenant: str, response_id: str, request: PageRequest) -> Page[Item]:
        """A page of the input of a response. Raises NotFoundError."""
        is_input = and_(_is_item_of(tenant, response_id), response_items.c.is_input)
        key = response_items.c.response_item_key
        after = select(key).where(is_input, response_items.c.item_id == request.cursor)
        with self.database.reading() as connection:
            _get(connection, tenant, response_id)
            rows = fetch_page(connection, select(response_items).where(is_input), key, request, after)
        return Page(tuple(row.body for row in rows.items), rows.has_more)

    def history(self, tenant: str, response_id: str, limit: HistoryLimit) -> list[Item]:
        """The newest items of a response and of those that it continues, in order.

        Raises NotFoundError, ConflictError for a response in progress, and as HistoryLimit.
        """
        chain = chain_of(tenant, response_id)
        with self.database.reading() as connection:
            if _get(connection, tenant, response_id).status == "in_progress":
                raise ConflictError(f"response {response_id!r} is in progress; continue it when it has ended")
            names = list(connection.scalars(select(chain.c.response_id).order_by(chain.c.depth)))
            return limit.newest(_newest_first(connection, tenant, names))

    def items_by_id(self, tenant: str, item_ids: Sequence[str]) -> dict[str, Item]:
        """The stored items with these ids, of responses and conversations. Unknown ids are left out."""
        return items_by_id(self.database, tenant, item_ids)

    def delete_older(self, keep_s: float) -> int:
        """Delete the responses that were created `keep_s` seconds ago or earlier. Return their number."""
        is_old = responses.c.created_at <= self.clock() - keep_s
        return delete_in_steps(self.database, responses.c.response_key, is_old)


def _newest_first(connection: Connection, tenant: str, response_ids: Sequence[str]) -> Iterator[Item]:
    """The items of these responses, of which the first is the newest. They are read a few responses at a time."""
    for start in range(0, len(response_ids), _RESPONSES_A_STEP):
        names = response_ids[start : start + _RESPONSES_A_STEP]
        query = select(response_items.c.response_id, response_items.c.body).where(
            response_items.c.tenant == tenant, response_items.c.response_id.in_(names)
        )
        rows = list(connection.execute(query.order_by(response_items.c.response_item_key.desc())))
        for name in names:
            yield from (row.body for row in rows if row.response_id == name)


def chain_of(tenant: str, response_id: str) -> Any:
    """The response and those that it continues, with their distance, as a common table expression."""
    columns = (responses.c.response_id, responses.c.previous_response_id)
    start = select(*columns, literal(0).label("depth")).where(_is_this(tenant, response_id))
    chain = start.cte("chain", recursive=True)
    is_previous = and_(responses.c.tenant == tenant, responses.c.response_id == chain.c.previous_response_id)
    step = select(*columns, chain.c.depth + 1).join(chain, is_previous).where(chain.c.depth < MAX_CHAIN)
    return chain.union_all(step)


def _insert_items(connection: Connection, tenant: str, response_id: str, items: Sequence[Item], is_input: bool) -> None:
    owner = {"tenant": tenant, "response_id": response_id, "is_input": is_input}
    if items:
        connection.execute(insert(response_items), [owner | {"item_id": item["id"], "body": item} for item in items])


def _is_this(tenant: str, response_id: str) -> ColumnElement[bool]:
    return and_(responses.c.tenant == tenant, responses.c.response_id == response_id)


def _is_item_of(tenant: str, response_id: str) -> ColumnElement[bool]:
    return and_(response_items.c.tenant == tenant, response_items.c.response_id == response_id)


def _items(tenant: str, response_id: str) -> Any:
    query = select(response_items).where(_is_item_of(tenant, response_id))
    return query.order_by(response_items.c.response_item_key)


def _get(connection: Connection, tenant: str, response_id: str) -> StoredResponse:
    row: Row[Any] | None = connection.execute(select(responses).where(_is_this(tenant, response_id))).first()
    if row is None:
        raise NotFoundError("response", response_id)
    output = [item.body for item in connection.execute(_items(tenant, response_id)) if not item.is_input]
    return StoredResponse(
        response_id,
        row.status,
        row.created_at,
        row.body,
        tuple(output),
        row.previous_response_id,
        row.overdue_at,
    )
