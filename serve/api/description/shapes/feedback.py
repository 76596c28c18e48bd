"""What users said of answers."""

from typing import Literal

from pydantic import Field

from models.corpus.feedback import Rating
from serve.api.description.shapes.base import ListShape, Shape


class FeedbackObject(Shape):
    """What a user said of an answer."""

    id: str = Field(description="The request's id.")
    object: Literal["feedback"]
    created_at: int
    rating: Rating
    comment: str | None
    query: str | None
    answer: str | None
    file_ids: list[str]


class FeedbackList(ListShape):
    data: list[FeedbackObject]
