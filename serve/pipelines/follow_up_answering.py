"""Follow-up questions: what is searched is made from the conversation."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from models.generation.follow_up import search_query
from models.types import RequestContext
from serve.pipelines.answering import Answering, Event, Query


class FollowUpAnswering:
    """Sets the search query of a question that follows others. A lone question stays as it is."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        if sum(message.role == "user" for message in query.messages) > 1:
            query = replace(query, search_query=search_query(query.messages))
        async with aclosing(self._answering.answer(query, context)) as events:
            async for event in events:
                yield event
