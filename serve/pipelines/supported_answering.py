"""Requests that the serving model cannot follow, refused before anything is searched."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from models.generation.abilities import (
    refusal,
    unsupported_form,
    unsupported_functions,
    unsupported_options,
    without_unsupported,
)
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, Answering, Event, Query


class SupportedAnswering:
    """Where the Generator's model only quotes, what it cannot do is refused by name, or left out on request.

    A language model, a canary and an unknown state get every request.
    """

    def __init__(
        self, answering: Answering, serving_alias: Callable[[], Awaitable[str | None]], quotes: Callable[[str], bool]
    ) -> None:
        """`serving_alias` is the Generator's model, None if unknown; `quotes` says whether it only quotes."""
        self._answering, self._serving_alias, self._quotes = answering, serving_alias, quotes

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering. Raises InvalidRequestError for the first option that the model cannot follow."""
        alias, ignored = await self._serving_alias(), tuple[str, ...]()
        if alias is not None and self._quotes(alias):
            query, ignored = _supported(query, alias)
        async with aclosing(self._answering.answer(query, context)) as events:
            async for event in events:
                yield self._named(event, ignored, query) if isinstance(event, Answered) else event

    def _named(self, event: Answered, ignored: tuple[str, ...], query: Query) -> Answered:
        """The answer with what it ignored; one that quotes in place of a model ignored the functions."""
        has_functions = query.functions is not None and query.functions.tools
        if has_functions and self._quotes(event.trace.models.get("generate", "")):
            ignored = (*ignored, "tools")
        return replace(event, ignored=ignored) if ignored else event


def _supported(query: Query, alias: str) -> tuple[Query, tuple[str, ...]]:
    """The query as the model can follow it, and the names of the fields that it cannot."""
    problems = (
        unsupported_functions(query.functions)
        | unsupported_options(query.messages, query.sampling)
        | unsupported_form(query.form)
    )
    if not problems:
        return query, ()
    if query.extra == "refuse":
        param, problem = next(iter(problems.items()))
        raise refusal(alias, param, problem)
    messages, sampling = without_unsupported(query.messages, query.sampling)
    # The language stays: it is that of our own sentences.
    form = replace(query.form, response_mode=None)
    return replace(query, messages=messages, sampling=sampling, form=form, functions=None), tuple(problems)
