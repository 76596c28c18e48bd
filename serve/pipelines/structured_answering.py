"""JSON answers keep their citations: which passages support which field."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from models.generation.structured import support_fields
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, Answering, Cited, Event, Query


class StructuredAnswering:
    """Adds the fields of a JSON answer, with the citations that support them. Other answers pass as they are."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering. The citations come after the text: they are known when it is complete."""
        async with aclosing(self._answering.answer(query, context)) as events:
            async for event in events:
                if query.sampling.response_schema is None or not isinstance(event, Answered):
                    yield event
                    continue
                fields, citations = await asyncio.to_thread(support_fields, event.text, event.passages)
                for citation in citations:
                    yield Cited(citation)
                yield replace(event, fields=fields, citations=citations)
