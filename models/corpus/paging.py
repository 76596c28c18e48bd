"""Pages of a list by cursor, as in OpenAI's list calls."""

from typing import Any

from sqlalchemy import Column, Connection, Row, Select

from models.corpus.records import Page, PageRequest
from models.errors import InvalidRequestError


def fetch_page(
    connection: Connection,
    query: Select[Any],
    key: Column[int],
    request: PageRequest,
    find_after: Select[tuple[int]],
) -> Page[Row[Any]]:
    """Rows of `query` by `key`, past the key that `find_after` selects; InvalidRequestError if it selects none."""
    is_ascending = request.order == "asc"
    if request.after is not None:
        after_key = connection.scalar(find_after)
        if after_key is None:
            raise InvalidRequestError(f"after is {request.after!r}, which is not in this list", "after")
        query = query.where(key > after_key if is_ascending else key < after_key)
    query = query.order_by(key.asc() if is_ascending else key.desc()).limit(request.limit + 1)
    rows = connection.execute(query).all()
    return Page(tuple(rows[: request.limit]), len(rows) > request.limit)
