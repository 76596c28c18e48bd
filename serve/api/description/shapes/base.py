"""The objects of responses, for the description alone: routes build them as dicts, since validation costs time.

A test validates the real responses of every route against these shapes.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Attributes = dict[str, str | bool | int | float]
Metadata = dict[str, str]


class Shape(BaseModel):
    """A response with these fields and no others."""

    model_config = ConfigDict(extra="forbid")


class OpenShape(BaseModel):
    """A response that may have further fields of OpenAI's."""

    model_config = ConfigDict(extra="allow")


class ListShape(Shape):
    """A page of a list. Send `last_id` as `after` for the next page."""

    object: Literal["list"]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Deleted(Shape):
    """What was deleted."""

    id: str
    object: str = Field(description="file, vector_store.deleted, vector_store.file.deleted and so on.")
    deleted: bool
