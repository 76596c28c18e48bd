"""Who did what, and who was denied what. Events are only added. None is changed, and each is deleted by age alone."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, and_, insert, select

from models.corpus.access_schema import audit_log
from models.corpus.conversations import delete_in_steps
from models.corpus.database import Database
from models.corpus.ids import random_id
from models.corpus.paging import fetch_page
from models.corpus.records import Page, PageRequest


@dataclass(frozen=True)
class AuditEvent:
    """An action. `actor` is the id of a key, never the key; `ids` name what it concerns. It has no text of anybody.

    `status` is the HTTP status; 0 for a command on the service's machine. `address` is that of a denied client.
    """

    actor: str
    action: str
    status: int = 0
    role: str = ""
    request_id: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    address: str = ""


@dataclass(frozen=True)
class RecordedEvent:
    """An event with its id and its time, in Unix seconds."""

    event_id: str
    created_at: int
    event: AuditEvent


@dataclass(frozen=True)
class AuditLog:
    """Adds and lists events. Another tenant's count as not found."""

    database: Database
    clock: Callable[[], float]

    def add(self, tenant: str, event: AuditEvent) -> None:
        """Store an event, durably."""
        is_deletion = event.action.startswith("DELETE ")
        with self.database.deleting() if is_deletion else self.database.writing() as connection:
            add_event(connection, tenant, event, self.clock())

    def page(self, tenant: str, request: PageRequest) -> Page[RecordedEvent]:
        """Return a page, newest first. Raises InvalidRequestError for an unknown cursor."""
        key = audit_log.c.audit_key
        is_cursor = and_(audit_log.c.tenant == tenant, audit_log.c.event_id == (request.cursor or ""))
        with self.database.reading() as connection:
            query = select(audit_log).where(audit_log.c.tenant == tenant)
            rows = fetch_page(connection, query, key, request, select(key).where(is_cursor))
        return Page(tuple(map(_to_record, rows.items)), rows.has_more)

    def delete_older(self, keep_s: float) -> int:
        """Delete events of `keep_s` seconds ago or earlier. Return their number."""
        is_old = audit_log.c.created_at <= self.clock() - keep_s
        return delete_in_steps(self.database, audit_log.c.audit_key, is_old)


def add_event(connection: Connection, tenant: str, event: AuditEvent, now: float) -> None:
    """Add an event in the transaction of the change."""
    row = {"tenant": tenant, "event_id": random_id("audit_"), "created_at": int(now), "body": asdict(event)}
    connection.execute(insert(audit_log).values(row))


def _to_record(row: Row[Any]) -> RecordedEvent:
    return RecordedEvent(row.event_id, row.created_at, AuditEvent(**row.body))
