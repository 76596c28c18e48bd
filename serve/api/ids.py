"""Ids as requests carry them."""

from typing import Annotated

from pydantic import Field, StringConstraints

FileId = Annotated[str, Field(min_length=1, max_length=128)]
VectorStoreId = Annotated[str, StringConstraints(min_length=1, max_length=128)]
VectorStoreIds = Annotated[tuple[VectorStoreId, ...], Field(min_length=1, max_length=16)]
