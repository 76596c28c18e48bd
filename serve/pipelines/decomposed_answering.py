"""Compound questions: each part is searched and answered, and the answers are joined with their citations."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

from models.errors.base import RagError
from models.generation.citations import CitedText
from models.generation.decomposition import (
    MAX_TOKENS,
    read_parts,
    searched_parts,
    split_question,
    splitting_messages,
)
from models.generation.joined_answer import JoinedAnswer
from models.generation.markers import escape_markers
from models.types.chunks import Passage
from models.types.generation import ChatMessage
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, Answering, Cited, Event, PassagesFound, Query, TextGenerated
from serve.pipelines.failures import attempt
from serve.pipelines.language_model import LanguageModel
from serve.pipelines.trace import Search, Trace
from serve.pipelines.understanding import UnderstandingConfig

Events = AsyncGenerator[Event, None]


class DecomposedAnswering:
    """Answers a compound question in its parts, by default where the model quotes. Any other goes on as it is.

    A part without an answer is named in the answer. Without an answer to any part, the whole question counts.
    """

    def __init__(
        self,
        answering: Answering,
        config: UnderstandingConfig,
        quotes: Callable[[], Awaitable[bool]],
        model: LanguageModel | None = None,
    ) -> None:
        """`quotes`: whether the serving model only quotes. `model` splits questions; None: a rule."""
        self._answering, self._config, self._quotes, self._model = answering, config, quotes, model

    async def answer(self, query: Query, context: RequestContext) -> Events:
        """As Answering."""
        parts = await self._parts(query, context)
        events = self._answering.answer(query, context) if len(parts) < 2 else self._joined(query, parts, context)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _parts(self, query: Query, context: RequestContext) -> Sequence[str]:
        if query.functions is not None:
            return ()  # the calls of one part would be another's
        by_rule = split_question(query.text, self._config.max_parts)
        if len(by_rule) < 2 or query.sampling.response_schema is not None or not await self._is_on(query):
            return ()
        if self._model is None:
            return by_rule
        messages = splitting_messages(query.text, query.prompts.texts.understanding)
        written = await self._model.ask(messages, "parts", MAX_TOKENS, context)
        return read_parts(written, query.text, self._config.max_parts) or by_rule

    async def _is_on(self, query: Query) -> bool:
        requested, configured = query.options.understanding.decomposition, self._config.decomposition
        chosen = configured if requested is None else requested
        return await self._quotes() if chosen is None else chosen

    async def _joined(self, query: Query, parts: Sequence[str], context: RequestContext) -> Events:
        start = time.perf_counter()
        async with AsyncExitStack() as stack:
            pairs = zip(parts, searched_parts(parts), strict=True)
            answers = [self._answering.answer(_part_of(query, *pair), context) for pair in pairs]
            for each in answers:
                stack.push_async_callback(each.aclose)
            first_events = await asyncio.gather(*(attempt(_passages(each)) for each in answers))
            for error in first_events:
                if isinstance(error, RagError):
                    raise error
            passages = [event for event in first_events if isinstance(event, PassagesFound)]
            if any(event.answerable for event in passages):
                queries = tuple(query for event in passages for query in event.queries)
                yield PassagesFound(_union([event.passages for event in passages]), queries=queries)
                async for event in _stream(query, list(zip(parts, answers, strict=True)), start):
                    yield event
                return
        async with aclosing(self._answering.answer(query, context)) as events:
            async for event in events:
                yield event


async def _stream(query: Query, parts: Sequence[tuple[str, Events]], start: float) -> Events:
    """The answer of each part as soon as it is whole, then the joined one."""
    joined, answered, trace = JoinedAnswer(), list[Answered](), Trace(started_at=start)
    for question, events in parts:
        async for event in events:
            if isinstance(event, Answered):
                answered.append(event)
        last = answered[-1]
        is_missing = not last.answerable and not last.citations
        whole = CitedText(f"{_shown(question)} {last.text}") if is_missing else _whole(last)
        added = joined.add(whole, () if is_missing else last.unsupported)
        trace.timings_s.setdefault("first_text", trace.elapsed_s())
        for citation in added.citations:
            yield Cited(citation)
        yield TextGenerated(added.text)
    yield _answered(query, joined, answered, trace)


def _answered(query: Query, joined: JoinedAnswer, parts: Sequence[Answered], trace: Trace) -> Answered:
    for answer in parts:
        _add(trace, answer)
    trace.timings_s["total"] = trace.elapsed_s()
    evidence = [answer.evidence for answer in parts if answer.answerable and answer.evidence is not None]
    return Answered(
        joined.text,
        joined.citations,
        _union([answer.passages for answer in parts]),
        "length" if any(answer.finish_reason == "length" for answer in parts) else "stop",
        sum(answer.num_prompt_tokens for answer in parts),
        sum(answer.num_completion_tokens for answer in parts),
        trace,
        tuple(joined.markers),
        min(evidence, default=None),
        search_query=query.text,
        unsupported=tuple(joined.unsupported),
        prompt=parts[0].prompt,
    )


def _add(trace: Trace, answer: Answered) -> None:
    """What was searched for a part, and what its answer took: each stage's longest time."""
    trace.searches += [Search("part", answer.search_query), *answer.trace.searches]
    trace.models |= answer.trace.models
    trace.degraded += [stage for stage in answer.trace.degraded if stage not in trace.degraded]
    trace.fallbacks |= answer.trace.fallbacks
    trace.reasons |= answer.trace.reasons
    trace.stale |= answer.trace.stale
    trace.cached += [level for level in answer.trace.cached if level not in trace.cached]
    for stage, seconds in answer.trace.timings_s.items():
        if stage != "first_text":
            trace.timings_s[stage] = max(seconds, trace.timings_s.get(stage, 0.0))


def _part_of(query: Query, question: str, searched: str) -> Query:
    messages = (*query.messages[:-1], ChatMessage("user", question))
    return replace(query, messages=messages, search_query="" if searched == question else searched)


def _whole(answered: Answered) -> CitedText:
    return CitedText(answered.text, answered.citations, answered.markers)


def _shown(question: str) -> str:
    """A part of the question on one line; no bracket in it is a marker."""
    return escape_markers(" ".join(question.split()))


def _union(lists: Sequence[Sequence[Passage]]) -> tuple[Passage, ...]:
    """Each passage once, with its best score, best first."""
    best: dict[int, Passage] = {}
    for passage in (passage for passages in lists for passage in passages):
        if passage.key not in best or best[passage.key].score < passage.score:
            best[passage.key] = passage
    return tuple(sorted(best.values(), key=lambda passage: -passage.score))


async def _passages(events: Events) -> Event:
    return await anext(events)
