"""Marks the sentences of a generated answer that no passage supports."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from models.generation.function_calls import results
from models.generation.support import unsupported
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, Answering, Event, Query


class GroundedAnswering:
    """Adds `unsupported` to the whole answer of a language model. Quotes and JSON have none.

    A strict answer has lost those sentences already: see GroundedGeneration.
    """

    def __init__(self, answering: Answering, quotes: Callable[[str], bool]) -> None:
        """`quotes` says whether a model only quotes."""
        self._answering, self._quotes = answering, quotes

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        is_marked = query.sampling.response_schema is None and query.grounded == "mark"
        async with aclosing(self._answering.answer(query, context)) as events:
            async for event in events:
                yield self._marked(event, query) if is_marked and isinstance(event, Answered) else event

    def _marked(self, event: Answered, query: Query) -> Answered:
        model = event.trace.models.get("generate")
        if model is None or self._quotes(model):
            return event
        return replace(event, unsupported=unsupported(event.text, (*event.passages, *results(query.messages))))
