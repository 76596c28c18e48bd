"""Answers in several calls: what each call reads, how citations survive, and what happens when time ends."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deployments.generator import InlineGenerator
from models.answer_form import AnswerForm, AnswerStep, ResponseMode
from models.corpus.corpus import Corpus
from models.errors.base import RagError
from models.errors.requests import InvalidRequestError
from models.errors.stages import DeadlineExceededError, StageUnavailableError
from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from models.types.chunks import Passage
from models.types.generation import GenerationDelta, GenerationRequest, SamplingOptions
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, TextGenerated
from serve.pipelines.punctual_generation import PunctualGeneration
from serve.pipelines.query import QueryConfig, QueryPipeline, QueryStages
from serve.pipelines.stages import GenerateStage
from serve.pipelines.stepwise_generation import StepwiseGeneration
from tests.contexts import within
from tests.inline import Failing, ingest, inline_stages, open_corpus, question
from tests.models.generation.samples import asking, passage

FACTS = ("The kiln is fired with alder.", "The mill turns in May.", "The barn holds hay.", "The inn sells cider.")
PASSAGES = tuple(passage(fact, start=100 * place) for place, fact in enumerate(FACTS))
Write = Callable[[GenerationRequest], str]


def cite_all(request: GenerationRequest) -> str:
    """Each passage's text with its number, after the drafts."""
    drafts = request.step.drafts if request.step else ()
    return " ".join([*drafts, *(f"{request.passages[place].text} [{place + 1}]" for place in request.best_first)])


class Writer:
    """A language model that writes by a function of the request, word by word. Records its requests.

    `fails_at` is the number of the call that raises `error` after `num_words` words; without an error it hangs there.
    """

    def __init__(
        self, write: Write = cite_all, fails_at: int = -1, error: RagError | None = None, num_words: int = 0
    ) -> None:
        self._write, self._fails_at, self._error, self._num_words = write, fails_at, error, num_words
        self.requests: list[GenerationRequest] = []
        self.num_open = 0

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        self.requests.append(request)
        fails = len(self.requests) - 1 == self._fails_at
        self.num_open += 1
        try:
            for number, word in enumerate(self._write(request).split(" ")):
                if fails and number == self._num_words:
                    await self._fail()
                yield GenerationDelta(word if number == 0 else f" {word}", model="writer")
            yield GenerationDelta("", "stop", 10, 3, model="writer")
        finally:
            self.num_open -= 1

    async def _fail(self) -> None:
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()

    @property
    def steps(self) -> list[AnswerStep | None]:
        return [request.step for request in self.requests]


def request_of(mode: ResponseMode, *passages: Passage, **sampling: object) -> GenerationRequest:
    options = SamplingOptions(**sampling)  # type: ignore[arg-type]
    return replace(asking("What is there?", *passages, sampling=options), form=AnswerForm(response_mode=mode))


async def collect(
    writer: GenerateStage, request: GenerationRequest, max_calls: int = 8, budget_s: float = 60
) -> list[GenerationDelta]:
    stage = StepwiseGeneration(PunctualGeneration(writer), max_calls, budget_s)
    return [delta async for delta in stage.stream(request, within(60))]


def text_of(deltas: list[GenerationDelta]) -> str:
    return "".join(delta.text for delta in deltas)


async def test_compact_is_one_call_without_a_step() -> None:
    writer = Writer()

    deltas = await collect(writer, request_of("compact", *PASSAGES))

    assert writer.steps == [None]
    assert (deltas[-1].num_prompt_tokens, deltas[-1].is_partial) == (10, False)


async def test_refine_improves_a_draft_passage_by_passage_the_best_first() -> None:
    writer = Writer()
    request = replace(request_of("refine", *PASSAGES[:3]), relevance_order=(2, 0, 1))

    deltas = await collect(writer, request)

    first = f"{FACTS[2]} [3]"
    second = f"{first} {FACTS[0]} [1]"
    assert writer.steps == [
        AnswerStep("first", (2,)),
        AnswerStep("refine", (0,), (first,)),
        AnswerStep("refine", (1,), (second,)),
    ]
    assert text_of(deltas) == f"{second} {FACTS[1]} [2]"
    assert (deltas[-1].num_prompt_tokens, deltas[-1].num_completion_tokens) == (30, 9)


async def test_tree_summarize_answers_from_notes_of_groups() -> None:
    writer = Writer()

    deltas = await collect(writer, request_of("tree_summarize", *PASSAGES))

    notes = (f"{FACTS[0]} [1] {FACTS[1]} [2]", f"{FACTS[2]} [3] {FACTS[3]} [4]")
    assert writer.steps == [
        AnswerStep("summarize", (0, 1)),
        AnswerStep("summarize", (2, 3)),
        AnswerStep("combine", (), notes),
    ]
    assert text_of(deltas) == " ".join(notes)
    assert deltas[-1].num_completion_tokens == 9


async def test_many_notes_are_combined_level_by_level() -> None:
    writer = Writer()
    passages = tuple(passage(f"Fact {number}.", start=number) for number in range(40))

    deltas = await collect(writer, request_of("tree_summarize", *passages), max_calls=64)

    kinds = [step.kind for step in writer.steps if step]
    assert kinds == ["summarize"] * 20 + ["combine"] * 4
    assert text_of(deltas).count("[") == 40


@pytest.mark.parametrize("mode", ["refine", "tree_summarize"])
@pytest.mark.parametrize("max_calls", [2, 3, 5])
async def test_calls_are_bounded_and_every_passage_is_read(mode: ResponseMode, max_calls: int) -> None:
    writer = Writer()
    passages = tuple(passage(f"Fact {number}.", start=number) for number in range(23))

    await collect(writer, request_of(mode, *passages), max_calls)

    assert len(writer.requests) <= max_calls
    assert {place for request in writer.requests for place in request.best_first} == set(range(23))


@pytest.mark.parametrize("mode", ["refine", "tree_summarize"])
@pytest.mark.parametrize("passages", [(), PASSAGES[:1]])
async def test_with_one_passage_or_none_there_is_one_call(mode: ResponseMode, passages: tuple[Passage, ...]) -> None:
    writer = Writer()

    await collect(writer, request_of(mode, *passages))

    assert writer.steps == [None]


async def test_a_step_cannot_cite_what_it_has_not_read() -> None:
    def forge(request: GenerationRequest) -> str:
        drafts = request.step.drafts if request.step else ()
        return f"{' '.join(drafts)} All of it [1][2][3][4][9].".strip()

    writer = Writer(forge)

    deltas = await collect(writer, request_of("refine", *PASSAGES[:3]))

    assert writer.steps[1:] == [
        AnswerStep("refine", (1,), ("All of it [1].",)),
        AnswerStep("refine", (2,), ("All of it [1]. All of it [1][2].",)),
    ]
    assert text_of(deltas) == "All of it [1]. All of it [1][2]. All of it [1][2][3]."


async def test_the_first_steps_write_prose_and_the_last_one_json() -> None:
    writer = Writer()
    request = request_of("tree_summarize", *PASSAGES, response_schema={"type": "object"}, stop=("x",), max_tokens=400)

    await collect(writer, request)

    schemas = [each.sampling.response_schema for each in writer.requests]
    assert schemas == [None, None, {"type": "object"}]
    assert [each.sampling.stop for each in writer.requests] == [(), (), ("x",)]
    assert [each.sampling.max_tokens for each in writer.requests] == [256, 256, 400]


@pytest.mark.parametrize("error", [DeadlineExceededError("generate", 1.0), StageUnavailableError("generate")])
async def test_refine_without_time_gives_the_last_draft(error: RagError) -> None:
    writer = Writer(fails_at=2, error=error, num_words=2)

    [ending] = await collect(writer, request_of("refine", *PASSAGES))

    assert ending.text == f"{FACTS[0]} [1] {FACTS[1]} [2]"
    assert (ending.is_partial, ending.finish_reason, ending.model) == (True, "stop", "writer")
    assert (ending.num_prompt_tokens, ending.num_completion_tokens) == (20, 6)
    assert writer.num_open == 0


@pytest.mark.parametrize("error", [DeadlineExceededError("generate", 1.0), StageUnavailableError("generate")])
async def test_notes_that_are_missing_are_done_without(error: RagError) -> None:
    writer = Writer(fails_at=0, error=error)

    deltas = await collect(writer, request_of("tree_summarize", *PASSAGES))

    assert text_of(deltas) == f"{FACTS[2]} [3] {FACTS[3]} [4]"
    assert deltas[-1].is_partial
    assert writer.num_open == 0


async def test_a_last_step_that_does_not_begin_leaves_the_notes() -> None:
    writer = Writer(fails_at=2, error=DeadlineExceededError("generate", 1.0))

    [ending] = await collect(writer, request_of("tree_summarize", *PASSAGES))

    assert ending.text == f"{FACTS[0]} [1] {FACTS[1]} [2]\n\n{FACTS[2]} [3] {FACTS[3]} [4]"
    assert (ending.is_partial, ending.num_completion_tokens) == (True, 6)


@pytest.mark.parametrize("mode", ["refine", "tree_summarize"])
async def test_a_draft_does_not_stand_for_json(mode: ResponseMode) -> None:
    writer = Writer(fails_at=2, error=StageUnavailableError("generate"))

    with pytest.raises(StageUnavailableError):
        await collect(writer, request_of(mode, *PASSAGES, response_schema={}))


@pytest.mark.parametrize("mode", ["refine", "tree_summarize"])
async def test_without_any_draft_the_error_goes_on(mode: ResponseMode) -> None:
    with pytest.raises(StageUnavailableError):
        await collect(Failing(StageUnavailableError("generate")), request_of(mode, *PASSAGES))


async def test_a_step_that_takes_its_time_ends_the_answer_with_the_draft() -> None:
    writer = Writer(fails_at=1)

    [ending] = await collect(writer, request_of("refine", *PASSAGES), budget_s=1.0)

    assert (ending.text, ending.is_partial) == (f"{FACTS[0]} [1]", True)
    assert writer.num_open == 0


@pytest.mark.parametrize("mode", ["refine", "tree_summarize"])
async def test_a_mistake_of_the_caller_is_an_error(mode: ResponseMode) -> None:
    writer = Writer(fails_at=1, error=InvalidRequestError("too long", "messages"))

    with pytest.raises(InvalidRequestError):
        await collect(writer, request_of(mode, *PASSAGES))


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize"])
async def test_a_deadline_in_the_middle_of_the_text_ends_it_there(mode: ResponseMode) -> None:
    last = {"compact": 0, "refine": 3, "tree_summarize": 2}[mode]
    writer = Writer(fails_at=last, error=DeadlineExceededError("generate", 1.0), num_words=4)

    deltas = await collect(writer, request_of(mode, *PASSAGES))

    assert text_of(deltas) == " ".join(FACTS[0].split()[:4])
    assert (deltas[-1].is_partial, deltas[-1].finish_reason) == (True, "length")


@pytest.mark.parametrize("mode", ["refine", "tree_summarize"])
async def test_closing_the_answer_closes_the_calls(mode: ResponseMode) -> None:
    writer = Writer(fails_at=0)
    stage = StepwiseGeneration(writer, 8, 60)
    reading = asyncio.ensure_future(anext(stage.stream(request_of(mode, *PASSAGES), within(60))))
    while not writer.num_open:  # noqa: ASYNC110, it begins within a few turns of the loop
        await asyncio.sleep(0)

    reading.cancel()
    await asyncio.wait([reading])
    for _ in range(10):
        await asyncio.sleep(0)

    assert writer.num_open == 0


@pytest.mark.parametrize("mode", ["refine", "tree_summarize"])
async def test_a_model_that_quotes_answers_as_in_one_call(mode: ResponseMode) -> None:
    quoting = InlineGenerator(ExtractiveModel("extractive", ExtractiveConfig()))
    request = request_of(mode, *PASSAGES)

    stepwise = [delta async for delta in StepwiseGeneration(quoting, 8, 60).stream(request, within(60))]

    assert stepwise == [delta async for delta in quoting.stream(replace(request, form=AnswerForm()), within(60))]


@pytest.fixture
async def corpus(tmp_path: Path) -> AsyncIterator[Corpus]:
    opened = open_corpus(tmp_path)
    for place, fact in enumerate(FACTS[:3]):
        await ingest(opened, f"{place}.md", fact.encode())
    yield opened
    opened.close()


async def answered_by(corpus: Corpus, writer: Writer, mode: ResponseMode, first_text_s: float = 60) -> list[object]:
    parts, config = inline_stages(corpus, generator=writer), QueryConfig(first_text_s=first_text_s)
    generator = StepwiseGeneration(PunctualGeneration(writer), 8, first_text_s)
    path = QueryPipeline(QueryStages(parts.retrieval, generator, parts.fallback), config)
    query = replace(question("What do the kiln, the mill and the barn do?"), form=AnswerForm(response_mode=mode))
    return [event async for event in path.answer(query, within(60))]


@pytest.mark.parametrize("mode", ["refine", "tree_summarize"])
async def test_citations_are_of_the_original_passages(corpus: Corpus, mode: ResponseMode) -> None:
    events = await answered_by(corpus, Writer(), mode)

    answered = events[-1]
    assert isinstance(answered, Answered)
    assert sorted(citation.quote for citation in answered.citations) == sorted(FACTS[:3])
    assert [citation.id for citation in answered.citations] == [1, 2, 3]
    assert answered.text == "".join(event.text for event in events if isinstance(event, TextGenerated))
    for citation, marker in zip(answered.citations, answered.markers, strict=True):
        assert answered.text[: marker.start].rstrip().endswith(citation.quote)
    assert answered.trace.degraded == []


async def test_an_answer_without_all_its_steps_says_so(corpus: Corpus) -> None:
    answered = (await answered_by(corpus, Writer(fails_at=1, error=StageUnavailableError("generate")), "refine"))[-1]

    assert isinstance(answered, Answered)
    assert answered.trace.degraded == ["generate_partial"]
    assert len(answered.citations) == 1


async def test_a_first_step_without_time_is_quoted_instead(corpus: Corpus) -> None:
    answered = (await answered_by(corpus, Writer(fails_at=0), "refine", first_text_s=0.05))[-1]

    assert isinstance(answered, Answered)
    assert answered.trace.degraded == ["generate"]
    assert answered.citations
