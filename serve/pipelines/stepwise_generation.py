"""Answers in several calls of a language model: `refine` and `tree_summarize`.

Passages keep the numbers of the request in every step, so a marker of a draft means the same in the answer. A marker of
a passage that a step has not read is dropped. Half of the time until the first text is for the steps before the last.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import chain

from models.answer_form import AnswerStep
from models.deadline import Deadline
from models.errors.base import RagError
from models.errors.stages import DeadlineExceededError
from models.generation.step_markers import MarkerSieve, numbers_in, sifted
from models.generation.steps import FAN_IN, MAX_NOTE_TOKENS, refine_groups, split, tree_groups
from models.types.generation import GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from serve.pipelines.failures import STAGE_FAILURES, attempt, raise_mistakes
from serve.pipelines.stages import GenerateStage

STEPS_SHARE = 0.5  # of the time until the first text, for the steps before the last
FIRST_TEXT_SHARE = 0.9  # of it, until the last step must have begun its text
MAX_CONCURRENT = 8  # calls of one answer

Deltas = list[GenerationDelta]
Groups = Sequence[tuple[int, ...]]


class StepwiseGeneration:
    """A GenerateStage that makes an answer in the steps of the request's mode; `compact` is one call.

    Only the last step is streamed. If a step fails or is late, the best text so far is the answer, and is marked as
    partial. Tokens are those of all calls that ended. A model that only quotes has read all passages in its first call.
    A request with functions is one call in any mode.
    """

    def __init__(self, generator: GenerateStage, max_calls: int, first_text_s: float) -> None:
        self._generator, self._max_calls, self._first_text_s = generator, max_calls, first_text_s

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        """As GenerateStage."""
        async with aclosing(self._deltas(request, context)) as deltas:
            async for delta in deltas:
                yield delta

    def _deltas(self, request: GenerationRequest, context: RequestContext) -> AsyncGenerator[GenerationDelta, None]:
        if request.functions is not None:
            return self._generator.stream(request, context)
        mode, places = request.form.response_mode, request.best_first
        calls = _Calls(self._generator, request, context, self._first_text_s)
        if mode == "refine" and len(groups := refine_groups(places, self._max_calls)) > 1:
            return _refined(calls, groups)
        if mode == "tree_summarize" and len(groups := tree_groups(places, self._max_calls)) > 1:
            return _summarized(calls, groups)
        return self._generator.stream(request, context)


async def _refined(calls: "_Calls", groups: Groups) -> AsyncGenerator[GenerationDelta, None]:
    """A draft from the best passages, improved by each further group."""
    draft = ""
    for group in groups[:-1]:
        step = AnswerStep("refine", group, (draft,)) if draft else AnswerStep("first", group)
        try:
            deltas = await calls.collect(step)
        except STAGE_FAILURES:
            if not draft or calls.needs_json:
                raise
            yield calls.ending(draft)
            return
        if _is_quoted(deltas):
            for delta in deltas:
                yield delta
            return
        draft = calls.draft(step, deltas) or draft
    last = AnswerStep("refine", groups[-1], (draft,)) if draft else AnswerStep("first", groups[-1])
    async with aclosing(calls.last(last, draft)) as answer:
        async for delta in answer:
            yield delta


async def _summarized(calls: "_Calls", groups: Groups) -> AsyncGenerator[GenerationDelta, None]:
    """Notes of each group, notes of notes while there are many, then the answer from them."""
    notes: tuple[str, ...] = ()
    steps = [AnswerStep("summarize", group) for group in groups]
    while steps:
        try:
            answers = await calls.collect_all(steps)
        except STAGE_FAILURES:
            if not notes or calls.needs_json:
                raise
            yield calls.ending(_joined(notes))
            return
        if quoted := next((deltas for _, deltas in answers if _is_quoted(deltas)), None):
            for delta in quoted:
                yield delta
            return
        notes = tuple(filter(None, (calls.draft(step, deltas) for step, deltas in answers)))
        steps = _combining(notes) if len(notes) > FAN_IN else []
    last = AnswerStep("combine", (), notes) if notes else AnswerStep("first", tuple(chain.from_iterable(groups)))
    async with aclosing(calls.last(last, _joined(notes))) as answer:
        async for delta in answer:
            yield delta


def _combining(notes: tuple[str, ...]) -> list[AnswerStep]:
    return [AnswerStep("combine", (), batch) for batch in split(notes, -(-len(notes) // FAN_IN))]


def _joined(notes: tuple[str, ...]) -> str:
    return "\n\n".join(notes)


class _Calls:
    """The calls of one answer: their time, their tokens, and whether some are missing."""

    def __init__(
        self, generator: GenerateStage, request: GenerationRequest, context: RequestContext, first_text_s: float
    ) -> None:
        self._generator, self._request, self._context = generator, request, context
        self._budget_s = min(first_text_s, context.remaining_s())
        self._steps_by = Deadline.after(STEPS_SHARE * self._budget_s)
        self._first_text_by = Deadline.after(FIRST_TEXT_SHARE * self._budget_s)
        self._num_prompt = self._num_completion = 0
        self._model = ""
        self._is_partial = False
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    @property
    def needs_json(self) -> bool:
        """Whether a draft cannot stand for the answer."""
        return self._request.sampling.response_schema is not None

    async def collect(self, step: AnswerStep) -> Deltas:
        """All deltas of a step before the last: prose, whatever the answer's format. Raises STAGE_FAILURES."""
        sampling = replace(self._request.sampling, response_schema=None, stop=())
        if step.kind != "refine" and step.kind != "first":
            sampling = replace(sampling, max_tokens=min(sampling.max_tokens, MAX_NOTE_TOKENS))
        request = replace(self._request, step=step, sampling=sampling)
        budget_s = self._steps_by.remaining_s()
        try:
            async with (
                self._slots,
                asyncio.timeout(budget_s),
                aclosing(self._generator.stream(request, self._context.at_most(budget_s))) as deltas,
            ):
                collected = [delta async for delta in deltas]
        except TimeoutError:
            raise DeadlineExceededError("generate", budget_s) from None
        if collected[-1].is_partial:
            raise DeadlineExceededError("generate", budget_s)
        self._count(collected[-1])
        return collected

    async def collect_all(self, steps: Sequence[AnswerStep]) -> list[tuple[AnswerStep, Deltas]]:
        """The steps that end in time, in order. Raises if none does, or if one is a mistake of the caller."""
        results = await asyncio.gather(*(attempt(self.collect(step)) for step in steps))
        for result in results:
            raise_mistakes(result)
        answers = [(step, result) for step, result in zip(steps, results, strict=True) if isinstance(result, list)]
        failures = [result for result in results if isinstance(result, RagError)]
        self._is_partial = self._is_partial or bool(failures)
        if failures and not answers:
            raise failures[0]
        return answers

    def draft(self, step: AnswerStep, deltas: Deltas) -> str:
        """The text of a step, without markers of passages that it has not read."""
        text = "".join(delta.text for delta in deltas).strip()
        return sifted(text, _readable(step), len(self._request.passages))

    def ending(self, text: str) -> GenerationDelta:
        """`text` as the whole answer, as there is no time for the steps that would come."""
        counts = (self._num_prompt, self._num_completion)
        return GenerationDelta(text, "stop", *counts, model=self._model, is_partial=True)

    async def last(self, step: AnswerStep, best_text: str) -> AsyncGenerator[GenerationDelta, None]:
        """The last step, streamed; `best_text` if it does not begin in time."""
        has_begun = False
        try:
            async with aclosing(self._streamed(step)) as deltas:
                async for delta in deltas:
                    has_begun = True
                    yield delta
        except STAGE_FAILURES:
            if has_begun or not best_text or self.needs_json:
                raise
            yield self.ending(best_text)

    async def _streamed(self, step: AnswerStep) -> AsyncGenerator[GenerationDelta, None]:
        sieve = MarkerSieve(_readable(step), len(self._request.passages))
        request = replace(self._request, step=step)
        async with aclosing(self._generator.stream(request, self._context)) as deltas:
            delta: GenerationDelta | None = await self._first(deltas)
            while delta is not None:
                yield self._counted(delta, sieve)
                delta = await anext(deltas, None)

    async def _first(self, deltas: AsyncGenerator[GenerationDelta, None]) -> GenerationDelta:
        try:
            async with asyncio.timeout(self._first_text_by.remaining_s()):
                return await anext(deltas)
        except TimeoutError:
            raise DeadlineExceededError("generate", self._budget_s) from None

    def _counted(self, delta: GenerationDelta, sieve: MarkerSieve) -> GenerationDelta:
        """The delta of the last step, with the tokens of all steps at its end."""
        is_last = delta.finish_reason is not None
        text = sieve.read(delta.text, is_last) if delta.marks is None else delta.text
        if not is_last:
            return replace(delta, text=text)
        self._count(delta)
        return replace(
            delta,
            text=text,
            num_prompt_tokens=self._num_prompt,
            num_completion_tokens=self._num_completion,
            is_partial=delta.is_partial or self._is_partial,
        )

    def _count(self, delta: GenerationDelta) -> None:
        self._num_prompt += delta.num_prompt_tokens
        self._num_completion += delta.num_completion_tokens
        self._model = delta.model


def _is_quoted(deltas: Deltas) -> bool:
    """Whether a model that only quotes wrote a step."""
    return deltas[0].marks is not None


def _readable(step: AnswerStep) -> frozenset[int]:
    """The numbers of the passages that a step reads, itself or in its drafts."""
    return frozenset(place + 1 for place in step.places).union(*map(numbers_in, step.drafts))
