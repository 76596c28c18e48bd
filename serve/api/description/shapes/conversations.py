"""Conversations, their items, and facts about users."""

from typing import Literal

from pydantic import Field

from serve.api.description.shapes.base import ListShape, Metadata, OpenShape, Shape


class ItemObject(OpenShape):
    """An item of a conversation or a response: a message, a call of a tool, its output."""

    id: str
    type: str


class ItemList(ListShape):
    data: list[ItemObject]


class ConversationObject(Shape):
    id: str
    object: Literal["conversation"]
    created_at: int
    metadata: Metadata


class UserFactObject(Shape):
    """What a user said about themselves."""

    id: str
    object: Literal["user_fact"]
    text: str = Field(description="The user's own sentence.")
    stated_at: int = Field(description="When it was last stated, in Unix seconds.")


class UserFactList(ListShape):
    data: list[UserFactObject]


class DeletedFacts(Shape):
    object: Literal["user_facts.deleted"]
    user: str
    deleted: int = Field(description="The number of facts.")
