"""Requests that bring their own context to a model that quotes: they are answered from it, and nothing is searched.

A framework's prompt has retrieved texts in it. A search for that prompt in our documents would answer another question.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from models.generation.own_context import context_evidence, prompt_passage
from models.generation.prompt_context import PromptContext, read_context
from models.generation.standalone import standalone_question
from models.types.generation import ChatMessage, SamplingOptions
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, Answering, Event, PassagesFound, Query, TextGenerated
from serve.pipelines.declining_generation import DecliningGeneration
from serve.pipelines.query import QueryConfig, QueryPipeline, QueryStages
from serve.pipelines.retrieving import RetrievalQuery, Retrieved
from serve.pipelines.stages import GenerateStage
from serve.pipelines.trace import Trace


class OwnContextAnswering:
    """Where the Generator's model only quotes, a request that names no documents may bring its context instead.

    A request for a standalone question gets that of the follow-up rule. System messages and sampling options are those
    of a prompt for a language model: to quote needs neither.
    """

    def __init__(
        self,
        answering: Answering,
        config: QueryConfig,
        generator: GenerateStage,
        serving: tuple[Callable[[], Awaitable[str | None]], Callable[[str], bool]],
    ) -> None:
        """`serving`: the Generator's alias, None if unknown; and whether an alias only quotes."""
        self._answering, self._config = answering, config
        self._generator = DecliningGeneration(generator, config.min_evidence, "not_in_context")
        self._serving_alias, self._quotes = serving

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        async with aclosing(await self._events(query, context)) as events:
            async for event in events:
                yield event

    async def _events(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        if query.names_documents or query.sampling.response_schema is not None or query.functions:
            return self._answering.answer(query, context)
        standalone, prompt = standalone_question(query.messages), read_context(query.messages)
        if standalone is None and not (prompt and prompt.is_named):
            return self._answering.answer(query, context)
        alias = await self._serving_alias()
        if alias is None or not self._quotes(alias):
            return self._answering.answer(query, context)
        return self._quoted(prompt, query, context) if prompt and standalone is None else _said(standalone or "")

    def _quoted(self, prompt: PromptContext, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        stages = QueryStages(_PromptRetrieval(prompt), self._generator, self._generator)
        sampling = SamplingOptions(max_tokens=query.sampling.max_tokens)
        asking = replace(query, messages=(ChatMessage("user", prompt.question),), sampling=sampling)
        return QueryPipeline(stages, self._config).answer(asking, context)


async def _said(text: str) -> AsyncGenerator[Event, None]:
    """An answer without passages: a question that the framework will search."""
    trace = Trace()
    yield PassagesFound(())
    yield TextGenerated(text)
    trace.timings_s["total"] = trace.elapsed_s()
    yield Answered(text, (), (), "stop", 0, 0, trace)


class _PromptRetrieval:
    """Satisfies Retrieving: the prompt's context is the only passage."""

    def __init__(self, prompt: PromptContext) -> None:
        self._prompt = prompt

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        evidence = context_evidence(self._prompt.question, self._prompt.text)
        passage = prompt_passage(self._prompt.text)
        return Retrieved((passage,), {}, trace or Trace(), 1, evidence=evidence)
