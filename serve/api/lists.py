"""OpenAI's list calls: cursor paging in, a list object out."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, Query

from models.corpus.records import Page, PageRequest

Record = TypeVar("Record")


def _page(
    limit: Annotated[int, Query(ge=1, le=100)] = 20, after: str | None = None, order: Literal["asc", "desc"] = "desc"
) -> PageRequest:
    return PageRequest(limit, after, order)


PageDep = Annotated[PageRequest, Depends(_page)]


def to_list(page: Page[Record], to_body: Callable[[Record], dict[str, Any]]) -> dict[str, Any]:
    """OpenAI's list object."""
    bodies = [to_body(item) for item in page.items]
    first, last = (bodies[0]["id"], bodies[-1]["id"]) if bodies else (None, None)
    return {"object": "list", "data": bodies, "first_id": first, "last_id": last, "has_more": page.has_more}
