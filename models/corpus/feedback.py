"""What users said of answers, by the id of the request. It outlives the answer, which is not stored."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, and_, delete, select

from models.corpus.conversations import delete_in_steps
from models.corpus.database import Database, insert_for
from models.corpus.paging import fetch_page
from models.corpus.quality_schema import feedback
from models.corpus.records import Page, PageRequest
from models.corpus.schema import files
from models.errors.requests import NotFoundError

Rating = Literal["good", "bad"]


@dataclass(frozen=True)
class Judgement:
    """What a user said. `file_ids`: the files that answer the question. `answer`: what it should have been."""

    rating: Rating
    comment: str | None = None
    query: str | None = None
    answer: str | None = None
    file_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Feedback:
    """A judgement of the answer to a request. `created_at` is in Unix seconds."""

    request_id: str
    created_at: int
    judgement: Judgement


@dataclass(frozen=True)
class FeedbackStore:
    """Stores and deletes feedback. Another tenant's counts as not found."""

    database: Database
    clock: Callable[[], float]

    def put(self, tenant: str, request_id: str, judgement: Judgement) -> Feedback:
        """Store feedback, durably; a second one for the same request replaces the first.

        Raises NotFoundError for a file that the tenant does not have.
        """
        body = asdict(judgement)
        values = {"rating": body.pop("rating"), "body": body, "created_at": int(self.clock())}
        with self.database.writing() as connection:
            is_named = and_(files.c.tenant == tenant, files.c.file_id.in_(judgement.file_ids))
            stored = set(connection.scalars(select(files.c.file_id).where(is_named)))
            for file_id in judgement.file_ids:
                if file_id not in stored:
                    raise NotFoundError("file", file_id)
            statement = insert_for(connection, feedback).values(tenant=tenant, request_id=request_id, **values)
            keys = [feedback.c.tenant, feedback.c.request_id]
            connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values))
        return Feedback(request_id, int(values["created_at"]), judgement)

    def get(self, tenant: str, request_id: str) -> Feedback:
        """Raises NotFoundError."""
        with self.database.reading() as connection:
            row = connection.execute(select(feedback).where(_is_this(tenant, request_id))).first()
        if row is None:
            raise NotFoundError("feedback", request_id)
        return _to_record(row)

    def page(self, tenant: str, request: PageRequest) -> Page[Feedback]:
        """Return a page, newest first. Raises InvalidRequestError for an unknown cursor."""
        key = feedback.c.feedback_key
        after = select(key).where(_is_this(tenant, request.cursor or ""))
        with self.database.reading() as connection:
            rows = fetch_page(connection, select(feedback).where(feedback.c.tenant == tenant), key, request, after)
        return Page(tuple(map(_to_record, rows.items)), rows.has_more)

    def delete(self, tenant: str, request_id: str) -> None:
        """Raises NotFoundError."""
        with self.database.deleting() as connection:
            if connection.execute(delete(feedback).where(_is_this(tenant, request_id))).rowcount == 0:
                raise NotFoundError("feedback", request_id)

    def delete_older(self, keep_s: float) -> int:
        """Delete feedback that was given `keep_s` seconds ago or earlier. Return its number."""
        is_old = feedback.c.created_at <= self.clock() - keep_s
        return delete_in_steps(self.database, feedback.c.feedback_key, is_old)


def _is_this(tenant: str, request_id: str) -> ColumnElement[bool]:
    return and_(feedback.c.tenant == tenant, feedback.c.request_id == request_id)


def _to_record(row: Row[Any]) -> Feedback:
    body = row.body | {"file_ids": tuple(row.body["file_ids"])}
    return Feedback(row.request_id, row.created_at, Judgement(row.rating, **body))
