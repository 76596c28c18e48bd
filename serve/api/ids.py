"""Ids as requests carry them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field, StringConstraints

from models.errors.requests import NotFoundError

STORABLE = "^[^\0]*$"  # PostgreSQL holds no NUL
FileId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=STORABLE)]
VectorStoreId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=STORABLE)]
UserId = Annotated[str, StringConstraints(max_length=512, pattern=STORABLE)]
VectorStoreIds = Annotated[tuple[VectorStoreId, ...], Field(min_length=1, max_length=16)]


@contextmanager
def named_field(param: str, resource: str | None = None) -> Iterator[None]:
    """NotFoundError names the field of the body that has the id: of any `resource`, or of this one."""
    try:
        yield
    except NotFoundError as error:
        if resource not in (None, error.resource):
            raise
        raise NotFoundError(error.resource, error.resource_id, param) from None
