"""Running summaries of conversations, written by a language model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, select

from models.corpus.conversation_schema import conversation_items, conversations
from models.corpus.conversations import lock_conversation
from models.corpus.database import Database, insert_for
from models.corpus.memory_schema import conversation_summaries


@dataclass(frozen=True)
class Summary:
    """What a conversation said up to the message `item_id`."""

    item_id: str
    text: str


@dataclass(frozen=True)
class Summaries:
    """Keeps a summary a conversation. It is deleted with the conversation, and with any of its items."""

    database: Database
    clock: Callable[[], float]

    def get(self, tenant: str, conversation_id: str) -> Summary | None:
        """None for a conversation without a summary. Blocks."""
        columns, is_this = conversation_summaries.c, _is_this(tenant, conversation_id)
        query = select(columns.item_id, columns.text).join(conversations).where(is_this)
        with self.database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else Summary(row.item_id, row.text)

    def put(self, tenant: str, conversation_id: str, summary: Summary, item_ids: Sequence[str]) -> None:
        """Replace the summary; not if one of the messages `item_ids`, which it was written from, is deleted.

        Raises NotFoundError. Blocks.
        """
        items = conversation_items.c
        is_item = and_(items.tenant == tenant, items.conversation_id == conversation_id, items.item_id.in_(item_ids))
        with self.database.writing() as connection:
            lock_conversation(connection, tenant, conversation_id, int(self.clock()))
            if connection.scalar(select(func.count()).where(is_item)) != len(item_ids):
                return
            key = connection.scalar(select(conversations.c.conversation_key).where(_is_this(tenant, conversation_id)))
            row = {"conversation_key": key, "item_id": summary.item_id, "text": summary.text}
            statement = insert_for(connection, conversation_summaries).values(row)
            connection.execute(statement.on_conflict_do_update(index_elements=["conversation_key"], set_=row))


def _is_this(tenant: str, conversation_id: str) -> ColumnElement[bool]:
    return and_(conversations.c.tenant == tenant, conversations.c.conversation_id == conversation_id)
