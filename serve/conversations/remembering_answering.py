"""Answers that remember: earlier turns of the conversation, and facts about the user."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from models.corpus.user_facts import UserFacts
from models.generation.follow_up import as_question
from models.generation.own_context import context_evidence
from models.generation.recollection import looks_back, speaks_of_oneself, statements, without_looking_back
from models.generation.small_talk import small_talk
from models.types.chunks import Passage
from models.types.generation import ChatMessage, SamplingOptions
from models.types.request_context import RequestContext
from serve.conversations.config import MemoryConfig
from serve.conversations.passages import to_passages
from serve.conversations.recall import Recall, Recalled
from serve.conversations.summary import RunningSummary
from serve.pipelines.answering import Answered, Answering, Event, Memory, PassagesFound, Query, Turn
from serve.pipelines.query import QueryConfig, QueryPipeline, QueryStages
from serve.pipelines.retrieving import RetrievalQuery, Retrieved
from serve.pipelines.stages import GenerateStage
from serve.pipelines.trace import Trace

Events = AsyncGenerator[Event, None]


@dataclass(frozen=True)
class Quoting:
    """How a model that quotes answers from memory. `serves`: whether such a model serves."""

    serves: Callable[[], Awaitable[bool]]
    generator: GenerateStage
    config: QueryConfig


class RememberingAnswering:
    """Recalls what a question is about. A request without a memory goes on as it is.

    A language model reads the last messages, and beside the documents' passages those of the exchanges, the facts and
    the summary that it would not see otherwise. A model that quotes answers a question about the conversation from its
    messages, and one about the user from what the user said, if the documents have no answer.
    """

    def __init__(
        self,
        answering: Answering,
        config: MemoryConfig,
        recall: Recall,
        summary: RunningSummary,
        facts: UserFacts,
        quoting: Quoting,
    ) -> None:
        self._answering, self._config = answering, config
        self._recall, self._summary, self._facts, self._quoting = recall, summary, facts, quoting

    async def answer(self, query: Query, context: RequestContext) -> Events:
        """As Answering. Facts are kept before the answer is whole."""
        memory, query = query.memory, replace(query, memory=None)
        if memory is None or small_talk(query.text) is not None:
            events = self._answering.answer(query, context)
        elif query.sampling.response_schema is None and await self._quoting.serves():
            events = self._quoted(memory, query, context)
        else:
            events = self._written(memory, query, context)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Answered) and memory is not None and memory.keeps_facts:
                    new = statements(query.text)
                    await asyncio.to_thread(self._facts.add, context.tenant, memory.user_id, new)
                yield event

    async def _written(self, memory: Memory, query: Query, context: RequestContext) -> Events:
        """The window goes to the model, and what is recalled of the turns before it."""
        turns = () if query.is_whole or not self._config.recalled else _before_window(query, memory, self._config)
        recalled, summary = await asyncio.gather(
            self._recall.search(as_question(query.text), memory, turns, self._config.recalled, context),
            self._summary.current(memory, turns, query.prompts, context),
        )
        passages = to_passages(recalled, summary)
        if passages:
            messages = _without(query.messages, len(turns))
            # What is recalled may be deleted any time, so no cache holds it.
            query, context = replace(query, messages=messages, recalled=passages), replace(context, use_caches=False)
        async with aclosing(self._answering.answer(query, context)) as events:
            async for event in events:
                yield _noted(event, recalled)

    async def _quoted(self, memory: Memory, query: Query, context: RequestContext) -> Events:
        """A question about the conversation is answered from it if it can be, any other from documents first."""
        if looks_back(query.text) and (remembered := await self._from_memory(memory, query, context)):
            events = remembered
        elif speaks_of_oneself(query.text):
            events = self._documents_first(memory, query, context)
        else:
            events = self._answering.answer(query, context)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _documents_first(self, memory: Memory, query: Query, context: RequestContext) -> Events:
        async with aclosing(self._answering.answer(query, context)) as documents:
            first = await anext(documents)
            if isinstance(first, PassagesFound) and not first.answerable:
                own = replace(memory, turns=tuple(turn for turn in memory.turns if _is_own_statement(turn)))
                if remembered := await self._from_memory(own, query, context):
                    await documents.aclose()
                    async with aclosing(remembered):
                        async for event in remembered:
                            yield event
                    return
            yield first
            async for event in documents:
                yield event

    async def _from_memory(self, memory: Memory, query: Query, context: RequestContext) -> Events | None:
        """Quotes from memory. None if it has no evidence."""
        question = without_looking_back(query.text)
        recalled = await self._recall.search(question, memory, memory.turns, self._config.recalled, context)
        weighed = [(context_evidence(question, passage.text), passage) for passage in to_passages(recalled)]
        passages = tuple(passage for each, passage in weighed if each >= self._quoting.config.min_evidence)
        if not passages:
            return None
        evidence = max(each for each, _ in weighed)
        generator = self._quoting.generator
        stages = QueryStages(_Remembered(passages, evidence), generator, generator)
        asking = replace(
            query,
            messages=(ChatMessage("user", question),),
            sampling=SamplingOptions(max_tokens=query.sampling.max_tokens),
            search_query="",
        )
        return QueryPipeline(stages, self._quoting.config).answer(asking, context)


class _Remembered:
    """Satisfies Retrieving: what is recalled is all there is."""

    def __init__(self, passages: tuple[Passage, ...], evidence: float) -> None:
        self._passages, self._evidence = passages, evidence

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        return Retrieved(self._passages, {}, trace or Trace(), len(self._passages), evidence=self._evidence)


def _is_own_statement(turn: Turn) -> bool:
    return turn.role == "user" and bool(statements(turn.text))


def _before_window(query: Query, memory: Memory, config: MemoryConfig) -> tuple[Turn, ...]:
    num_messages = sum(message.role != "system" for message in query.messages)
    return memory.turns[: max(0, num_messages - config.window_messages)]


def _without(messages: tuple[ChatMessage, ...], number: int) -> tuple[ChatMessage, ...]:
    """The messages without the first `number` of the user and the assistant."""
    places = [place for place, message in enumerate(messages) if message.role != "system"]
    left = set(places[:number])
    return tuple(message for place, message in enumerate(messages) if place not in left)


def _noted(event: Event, recalled: Recalled) -> Event:
    if isinstance(event, Answered) and recalled.is_partial:
        event.trace.degraded.append("memory")
    return event
