"""Ids as requests carry them."""

from typing import Annotated

from pydantic import Field, StringConstraints

STORABLE = "^[^\0]*$"  # PostgreSQL holds no NUL
FileId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=STORABLE)]
VectorStoreId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=STORABLE)]
VectorStoreIds = Annotated[tuple[VectorStoreId, ...], Field(min_length=1, max_length=16)]
