"""Events about documents: written in the transaction of the change, kept until each sink has received them.

An event is a row for each sink that is registered at that moment. Without a sink, nothing is written. One replica at a
time delivers to a sink, under a lease (leases.py). A sink has an order: in that of a document, an event waits for the
earlier ones of its document in its vector store; in that of a store, for the earlier ones of its vector store.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    null,
    or_,
    select,
    true,
    update,
)

from models.corpus.database import Database, insert_if_new
from models.corpus.ids import random_id
from models.corpus.leases import claim_lease, has_ended, is_leased, release_lease, renew_lease
from models.corpus.schema import event_sinks, files, outbox, store_files
from models.types.scope import CANARY_TENANT

EventType = Literal["document.created", "document.indexed", "document.failed", "document.deleted"]

EventOrder = Literal["document", "store"]

_DOCUMENT = ("sink", "tenant", "vector_store_id", "file_id")
_STORE = _DOCUMENT[:3]
DAY_S = 86_400.0


@dataclass(frozen=True)
class Event:
    """Something that happened to a file in a vector store. `attempts` counts the deliveries that failed.

    `event_id` is the same in each delivery. `version` is that of the file. `reason` is set for a file that failed.
    Times are in Unix seconds.
    """

    event_key: int
    event_id: str
    type: EventType
    tenant: str
    vector_store_id: str
    file_id: str
    filename: str
    version: int
    reason: str | None
    created_at: float
    attempts: int


@dataclass(frozen=True)
class OutboxSize:
    """The events that wait for one sink. `oldest_at` is in Unix seconds, None if none waits."""

    num_events: int
    oldest_at: float | None


def record_events(connection: Connection, event_type: EventType, is_document: ColumnElement[bool], now: float) -> None:
    """Write an event for each row of store_files that matches, as a part of the caller's transaction.

    The canary's documents make none. Call it before a deletion, and after any other change. The caller has locked the
    rows.
    """
    columns: dict[str, Any] = {
        "sink": event_sinks.c.sink,
        "type": literal(event_type),
        **{name: store_files.c[name] for name in _DOCUMENT[1:]},
        "filename": files.c.filename,
        "version": files.c.version,
        "reason": store_files.c.failure_reason if event_type == "document.failed" else null(),
        "created_at": literal(now, Float),
        "attempts": literal(0),
        "due_at": literal(now, Float),
    }
    is_file = and_(files.c.tenant == store_files.c.tenant, files.c.file_id == store_files.c.file_id)
    tables = store_files.join(files, is_file).join(event_sinks, true())
    is_of_users = store_files.c.tenant != CANARY_TENANT
    rows = select(*columns.values()).select_from(tables).where(is_document, is_of_users)
    connection.execute(insert(outbox).from_select(list(columns), rows))


@dataclass(frozen=True)
class Outbox:
    """Registers sinks, and leases each one's events to one owner. `owner` is random, and used for one lease only."""

    database: Database
    clock: Callable[[], float]

    def register(self, sinks: Collection[str]) -> None:
        """Write events for exactly these sinks from now on. The waiting events of other sinks are deleted."""
        with self.database.reading() as connection:
            if set(connection.scalars(select(event_sinks.c.sink))) == set(sinks):
                return
        with self.database.writing() as connection:
            connection.execute(delete(event_sinks).where(event_sinks.c.sink.not_in(sinks)))
            for sink in sorted(sinks):
                insert_if_new(connection, event_sinks, {"sink": sink, "source": random_id("")})

    def claim(
        self, sink: str, owner: str, lease_s: float, order: EventOrder = "document", max_pause_s: float = DAY_S
    ) -> bool:
        """Claim the lease of the sink, if an event is due. If True, `owner` may deliver."""
        with self.database.reading() as connection:
            # Idle replicas poll often. This check saves them SQLite's write lock.
            if is_leased(connection, _resource(sink), self.clock(), lease_s):
                return False
            if not self._due(connection, sink, 1, order, max_pause_s):
                return False
        with self.database.writing() as connection:
            return claim_lease(connection, _resource(sink), owner, self.clock(), lease_s)

    def due(self, sink: str, limit: int, order: EventOrder = "document", max_pause_s: float = DAY_S) -> list[Event]:
        """Return up to `limit` due events.

        In the order of a document, they are the oldest of as many documents. In that of a store, several may be of one
        store, the oldest first: the caller sends them one after the other. No caller of `settle` postpones an event by
        more than `max_pause_s`: a later time is of a clock that was wrong.
        """
        with self.database.reading() as connection:
            return [_to_event(row) for row in self._due(connection, sink, limit, order, max_pause_s)]

    def _due(
        self, connection: Connection, sink: str, limit: int, order: EventOrder, max_pause_s: float
    ) -> list[Row[Any]]:
        is_due = has_ended(outbox.c.due_at, self.clock(), max_pause_s)
        query: Select[Any] = select(outbox, event_sinks.c.source).join(event_sinks, event_sinks.c.sink == outbox.c.sink)
        query = query.where(outbox.c.sink == sink, is_due)
        query = _oldest_of_documents(query) if order == "document" else _before_postponed(query, sink, not_(is_due))
        return list(connection.execute(query.limit(limit)))

    def settle(
        self, sink: str, owner: str, delivered: Collection[int], pauses_s: Mapping[int, float], lease_s: float
    ) -> bool:
        """Delete the delivered events, postpone those that failed by `pauses_s`, and renew the lease.

        False, and no change, if the lease was lost: another replica delivers the events again.
        """
        now = self.clock()
        with self.database.writing() as connection:
            if not renew_lease(connection, _resource(sink), owner, now, lease_s):
                return False
            if delivered:
                connection.execute(delete(outbox).where(outbox.c.event_key.in_(delivered)))
            if pauses_s:
                statement = update(outbox).where(outbox.c.event_key == bindparam("key"))
                values = {"attempts": outbox.c.attempts + 1, "due_at": bindparam("due")}
                rows = [{"key": key, "due": now + pause_s} for key, pause_s in pauses_s.items()]
                connection.execute(statement.values(values), rows)
            return True

    def release(self, sink: str, owner: str) -> None:
        """End the lease, if the owner has it."""
        with self.database.writing() as connection:
            release_lease(connection, _resource(sink), owner)

    def trim(self, sink: str, max_events: int, max_age_s: float) -> dict[str, int]:
        """Delete events older than `max_age_s`, and the oldest of more than `max_events`. Count them by reason."""
        of_sink = outbox.c.sink == sink
        newest_first = select(outbox.c.event_key).where(of_sink).order_by(outbox.c.event_key.desc())
        is_old = outbox.c.created_at <= self.clock() - max_age_s
        with self.database.reading() as connection:
            last_key = connection.scalar(newest_first.limit(1).offset(max_events))
            if last_key is None and connection.scalar(newest_first.where(is_old).limit(1)) is None:
                return {}
        with self.database.writing() as connection:
            num_expired = connection.execute(delete(outbox).where(of_sink, is_old)).rowcount
            is_surplus = outbox.c.event_key <= (last_key or 0)
            num_surplus = connection.execute(delete(outbox).where(of_sink, is_surplus)).rowcount
        return {"expired": num_expired, "full": num_surplus}

    def size(self, sink: str) -> OutboxSize:
        """Count the events that wait for the sink."""
        query = select(func.count(), func.min(outbox.c.created_at)).where(outbox.c.sink == sink)
        with self.database.reading() as connection:
            num_events, oldest_at = connection.execute(query).one()
        return OutboxSize(num_events, oldest_at)


def _oldest_of_documents(query: Select[Any]) -> Select[Any]:
    """Leave one event of each document, those that are due first before others."""
    earlier = outbox.alias()
    is_same = and_(*(earlier.c[name] == outbox.c[name] for name in _DOCUMENT))
    has_earlier = exists().where(is_same, earlier.c.event_key < outbox.c.event_key)
    return query.where(not_(has_earlier)).order_by(outbox.c.due_at, outbox.c.event_key)


def _before_postponed(query: Select[Any], sink: str, is_late: ColumnElement[bool]) -> Select[Any]:
    """Leave the events of a store that come before its postponed one, the oldest first."""
    columns = [outbox.c.tenant, outbox.c.vector_store_id]
    is_postponed = and_(outbox.c.sink == sink, is_late)
    keys = select(*columns, func.min(outbox.c.event_key).label("key")).where(is_postponed).group_by(*columns)
    postponed = keys.subquery()
    is_same = and_(*(postponed.c[column.name] == column for column in columns))
    query = query.outerjoin(postponed, is_same)
    is_before = or_(postponed.c.key.is_(None), outbox.c.event_key < postponed.c.key)
    return query.where(is_before).order_by(outbox.c.event_key)


def _resource(sink: str) -> str:
    return f"events {sink}"


def _to_event(row: Row[Any]) -> Event:
    return Event(
        event_key=row.event_key,
        event_id=f"evt_{row.source}_{row.event_key}",
        type=row.type,
        tenant=row.tenant,
        vector_store_id=row.vector_store_id,
        file_id=row.file_id,
        filename=row.filename,
        version=row.version,
        reason=row.reason,
        created_at=row.created_at,
        attempts=row.attempts,
    )
