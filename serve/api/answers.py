"""Run a query through the pipeline, the same for every API shape."""

import asyncio
from contextlib import aclosing

from models.types import RequestContext
from serve.api.query_text import check_query_texts
from serve.api.services import Services
from serve.pipelines.answering import Answered, Query


async def accept_query(query: Query, services: Services) -> None:
    """Check that the query can be answered, and mark its vector stores as used.

    Raises InvalidRequestError for its text, NotFoundError for an unknown store, ConflictError for an expired one.
    """
    check_query_texts((query.text,), services.settings.api.max_query_chars)
    await asyncio.to_thread(services.corpus.vector_stores.touch, query.scope.tenant, query.scope.vector_store_ids)


async def final_answer(query: Query, services: Services, context: RequestContext) -> Answered:
    """Wait for the pipeline's last event."""
    async with aclosing(services.query.answer(query, context)) as events:
        async for event in events:
            if isinstance(event, Answered):
                return event
    raise AssertionError("the query pipeline ends with Answered or raises")
