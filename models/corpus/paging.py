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
    find_cursor: Select[tuple[int]],
) -> Page[Row[Any]]:
    """Rows of `query` by `key`, after or before the key that `find_cursor` selects.

    `has_more` looks the way that the page was asked for. Raises InvalidRequestError if `find_cursor` selects nothing.
    """
    is_back = request.before is not None
    # Backwards the nearest rows are read first, and turned round.
    is_rising = (request.order == "asc") != is_back
    if request.cursor is not None:
        cursor_key = connection.scalar(find_cursor)
        if cursor_key is None:
            param = "before" if is_back else "after"
            raise InvalidRequestError(f"{param} is {request.cursor!r}, which is not in this list", param)
        query = query.where(key > cursor_key if is_rising else key < cursor_key)
    query = query.order_by(key.asc() if is_rising else key.desc()).limit(request.limit + 1)
    rows = connection.execute(query).all()
    page = rows[: request.limit]
    return Page(tuple(page[::-1] if is_back else page), len(rows) > request.limit)
