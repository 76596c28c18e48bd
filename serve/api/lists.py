"""OpenAI's lists: paging by cursor in requests, a list object in responses."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, Query

from models.corpus.records import MAX_PAGE_LIMIT, Page, PageRequest
from serve.api.ids import STORABLE

Record = TypeVar("Record")
Order = Literal["asc", "desc"]
Cursor = Annotated[str | None, Query(min_length=1, max_length=128, pattern=STORABLE)]

MAX_FILES_LIMIT = 10_000  # OpenAI's; other lists have MAX_PAGE_LIMIT


async def _page(
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_LIMIT)] = 20,
    after: Cursor = None,
    before: Cursor = None,
    order: Order = "desc",
) -> PageRequest:
    return PageRequest(limit, after, order, before)


async def _files_page(
    limit: Annotated[int, Query(ge=1, le=MAX_FILES_LIMIT)] = MAX_FILES_LIMIT,
    after: Cursor = None,
    order: Order = "desc",
) -> PageRequest:
    # A page may be shorter than `limit`. It has `has_more` then, and clients fetch the next one.
    return PageRequest(min(limit, MAX_PAGE_LIMIT), after, order)


PageDep = Annotated[PageRequest, Depends(_page)]
FilesPageDep = Annotated[PageRequest, Depends(_files_page)]


def to_list(page: Page[Record], to_body: Callable[[Record], dict[str, Any]]) -> dict[str, Any]:
    """OpenAI's list object."""
    bodies = [to_body(record) for record in page.items]
    first, last = (bodies[0]["id"], bodies[-1]["id"]) if bodies else (None, None)
    return {"object": "list", "data": bodies, "first_id": first, "last_id": last, "has_more": page.has_more}
