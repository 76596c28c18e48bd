"""Pages of a list by cursor, as in OpenAI's list calls."""

from typing import Any

from sqlalchemy import Column, Connection, Row, Select

from models.corpus.records import Page, PageRequest
from models.errors.requests import InvalidRequestError


def fetch_page(
    connection: Connection,
    query: Select[Any],
    key: Column[int],
    request: PageRequest,
    find_cursor: Select[tuple[int]],
) -> Page[Row[Any]]:
    """Fetch rows of `query`, sorted by `key`, after or before the key that `find_cursor` selects.

    `has_more` refers to the direction of the request. Raises InvalidRequestError if `find_cursor` selects nothing.
    """
    is_backward = request.before is not None
    # Going backward, the query reads the nearest rows first. They are reversed below.
    is_ascending = (request.order == "asc") != is_backward
    if request.cursor is not None:
        cursor_key = connection.scalar(find_cursor)
        if cursor_key is None:
            param = "before" if is_backward else "after"
            raise InvalidRequestError(f"{param} is {request.cursor!r}, which is not in this list", param)
        query = query.where(key > cursor_key if is_ascending else key < cursor_key)
    query = query.order_by(key.asc() if is_ascending else key.desc()).limit(request.limit + 1)
    rows = connection.execute(query).all()
    page = rows[: request.limit]
    return Page(tuple(page[::-1] if is_backward else page), len(rows) > request.limit)
