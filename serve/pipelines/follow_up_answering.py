"""Follow-up questions: what is searched is made from the conversation."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from models.generation.follow_up import as_question
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answering, Event, Query
from serve.pipelines.follow_up_rewriting import FollowUpRewriter, RuleRewriter


class FollowUpAnswering:
    """Sets the search query of a question that follows others, or a greeting, if it has none."""

    def __init__(self, answering: Answering, rewriter: FollowUpRewriter | None = None) -> None:
        self._answering, self._rewriter = answering, rewriter or RuleRewriter()

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        if not query.search_query:
            query = replace(query, search_query=await self._search_query(query, context))
        async with aclosing(self._answering.answer(query, context)) as events:
            async for event in events:
                yield event

    async def _search_query(self, query: Query, context: RequestContext) -> str:
        """Empty for a lone question that is searched as it is."""
        if sum(message.role == "user" for message in query.messages) > 1:
            return await self._rewriter.rewrite(query.messages, query.prompts, context)
        question = as_question(query.text)
        return "" if question == query.text else question
